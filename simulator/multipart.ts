// Reads a multipart form that is already in memory: its text fields and how long each file is.

import type { IncomingHttpHeaders } from 'node:http';
import busboy from 'busboy';

export interface Form {
  readonly fields: Readonly<Record<string, string>>;
  readonly files: readonly { readonly field: string; readonly bytes: number }[];
}

/** Undefined when the body is no readable form. */
export function readForm(headers: IncomingHttpHeaders, body: Buffer): Promise<Form | undefined> {
  return new Promise((resolve) => {
    const fields: Record<string, string> = Object.create(null);
    const files: { field: string; bytes: number }[] = [];
    let parser: busboy.Busboy;
    try {
      parser = busboy({ headers });
    } catch {
      resolve(undefined); // another content type, or no boundary
      return;
    }
    parser.on('field', (name, value) => {
      fields[name] = value;
    });
    parser.on('file', (field, stream) => {
      const file = { field, bytes: 0 };
      files.push(file);
      stream.on('data', (chunk: Buffer) => {
        file.bytes += chunk.length;
      });
      // A form that ends inside a file is reported by the parser; the file's stream repeats it.
      stream.on('error', () => {});
    });
    parser.on('error', () => {
      resolve(undefined);
    });
    parser.on('close', () => {
      resolve({ fields, files });
    });
    parser.end(body);
  });
}
