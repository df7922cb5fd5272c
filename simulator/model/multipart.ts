// Reads a multipart form that is already in memory: its text fields, and of its files how long each is or all of it.

import type { IncomingHttpHeaders } from 'node:http';
import busboy from 'busboy';

export interface Form {
  readonly fields: Readonly<Record<string, string>>;
  readonly files: readonly FormFile[];
}

export interface FormFile {
  readonly field: string;
  /** Undefined when the form names none. */
  readonly filename: string | undefined;
  readonly bytes: number;
  /** There when it was asked for. */
  readonly content?: Buffer;
}

/** Undefined when the body is no readable form. */
export function readForm(headers: IncomingHttpHeaders, body: Buffer, keepsContent = false): Promise<Form | undefined> {
  return new Promise((resolve) => {
    const fields: Record<string, string> = Object.create(null);
    const files: { -readonly [Key in keyof FormFile]: FormFile[Key] }[] = [];
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
    parser.on('file', (field, stream, { filename }) => {
      const file: (typeof files)[number] = { field, filename, bytes: 0 };
      const chunks: Buffer[] = [];
      files.push(file);
      stream.on('data', (chunk: Buffer) => {
        file.bytes += chunk.length;
        if (keepsContent) {
          chunks.push(chunk);
        }
      });
      stream.on('end', () => {
        if (keepsContent) {
          file.content = Buffer.concat(chunks);
        }
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
