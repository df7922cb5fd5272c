/**
 * Finds one plain field of a multipart/form-data body, with the byte range of its value, so that the model name can be
 * replaced in place. busboy gives values but no positions; a test holds this scanner to busboy's reading.
 */
import type { MemberRange } from './json-members.ts';

const LONGEST_HEADERS = 8192;
const CR = 0x0d;
const LF = 0x0a;

/** The boundary of a `multipart/form-data` content type; undefined for every other type. */
export function boundaryOf(contentType: string): string | undefined {
  if (!/^multipart\/form-data\s*(?:;|$)/i.test(contentType)) return undefined;
  const match = /;\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/** The ranges of the values of every field of this name, in order. */
export function findFields(body: Buffer, boundary: string, name: string): readonly MemberRange[] {
  const found: MemberRange[] = [];
  const first = Buffer.from(`--${boundary}`, 'latin1');
  const next = Buffer.from(`\r\n--${boundary}`, 'latin1');
  let delimiter = body.subarray(0, first.length).equals(first) ? 0 : afterLineBreak(body.indexOf(next));
  while (delimiter !== -1) {
    const lineEnd = delimiter + first.length;
    if (body[lineEnd] === 0x2d && body[lineEnd + 1] === 0x2d) break; // `--`: the last delimiter
    if (body[lineEnd] !== CR || body[lineEnd + 1] !== LF) {
      // Not a part's beginning, whatever it ends: the boundary of somebody whose own begins with ours.
      delimiter = afterLineBreak(body.indexOf(next, lineEnd));
      continue;
    }
    const headersStart = lineEnd + 2;
    const headersEnd = body.indexOf('\r\n\r\n', lineEnd);
    if (headersEnd === -1 || headersEnd - headersStart > LONGEST_HEADERS) break;
    const start = headersEnd + 4;
    const end = body.indexOf(next, start);
    if (end === -1) break;
    if (fieldName(body.toString('latin1', headersStart, Math.max(headersStart, headersEnd))) === name) {
      found.push({ start, end });
    }
    delimiter = end + 2;
  }
  return found;
}

function afterLineBreak(at: number): number {
  return at === -1 ? -1 : at + 2;
}

/** The name in a part's Content-Disposition; undefined for files and for parts without one. */
function fieldName(headers: string): string | undefined {
  const disposition = headers.split('\r\n').find((line) => /^content-disposition\s*:\s*form-data\s*;/i.test(line));
  if (disposition === undefined || /;\s*filename\*?\s*=/i.test(disposition)) return undefined;
  const match = /;\s*name=(?:"([^"]*)"|([^\s;"]+))/i.exec(disposition);
  return match?.[1] ?? match?.[2];
}
