// Sends a multipart form with a file, written by hand so that no byte of it is anybody else's choice.

import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { SimulatedResource } from '../../simulator/server.ts';
import type { Json } from './support.ts';

export interface Upload {
  readonly path: string;
  /** Without one the form has no file. */
  readonly content?: Buffer | string;
  readonly filename?: string;
  readonly purpose?: string;
  readonly fields?: Readonly<Record<string, string>>;
}

const BOUNDARY = 'simulated-boundary';

/** Rejects when the answer is no JSON object. */
export async function upload(
  resource: SimulatedResource,
  asked: Upload,
): Promise<{ readonly status: number; readonly body: Json }> {
  const { status, body } = await uploadForText(resource, asked);
  return { status, body: JSON.parse(body) };
}

export function uploadForText(
  resource: SimulatedResource,
  { path, content, filename = 'file.jsonl', purpose = 'assistants', fields = {} }: Upload,
): Promise<{ readonly status: number; readonly type: string; readonly body: string }> {
  const parts = Object.entries({ purpose, ...fields }).map(([name, value]) =>
    Buffer.from(`--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`),
  );
  if (content !== undefined) {
    const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="${filename}"\r\ncontent-type: application/octet-stream\r\n\r\n`;
    parts.push(Buffer.from(head), Buffer.from(content), Buffer.from('\r\n'));
  }
  const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
  return new Promise((resolve, reject) => {
    const req = request(resource.url + path, { method: 'POST', headers, agent: false }, (res) => {
      const { statusCode: status = 0, headers: answered } = res;
      void text(res).then((body) => resolve({ status, type: answered['content-type'] ?? '', body }), reject);
    });
    req.on('error', reject);
    req.end(Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]));
  });
}
