/** A multipart body as busboy reads it, which is how many servers do. */
import busboy from 'busboy';

/** The values of every field of this name; undefined when the body is cut, or is none. */
export function busboyFields(body: Buffer, contentType: string, name: string): Promise<readonly string[] | undefined> {
  return new Promise((resolve) => {
    const values: string[] = [];
    const parser = busboy({
      headers: { 'content-type': contentType },
      limits: { fieldSize: Number.POSITIVE_INFINITY, fieldNameSize: Number.POSITIVE_INFINITY },
    });
    parser.on('field', (field, value) => {
      if (field === name) values.push(value);
    });
    parser.on('file', (_field, stream) => {
      stream.on('error', () => undefined).resume();
    });
    parser.on('error', () => resolve(undefined));
    parser.on('close', () => resolve(values));
    parser.end(body);
  });
}
