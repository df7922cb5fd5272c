// Tables in documents, made from a results file so that nobody types figures. They stand between two comment lines, the
// first of which names the file; a test holds that they are what the newest file gives.
import { readFileSync, writeFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);

export interface DocumentTables {
  /** In the comment lines: `arena`. */
  readonly name: string;
  /** What writes them, less the file: `npm run bench:arena -- --readme`. */
  readonly command: string;
  /** How the names of its results files end, after the date: `-arena.json`. */
  readonly ending: string;
  /** By document, the lines that it is given of the text of a results file. */
  readonly documents: Readonly<Record<string, (results: string) => readonly string[]>>;
}

/** The results file whose tables a document's text has, by its path from the repository's root. */
export function sourceOf(tables: DocumentTables, text: string): string | undefined {
  return beginOf(tables).exec(text)?.[1];
}

/** The document with the tables of this results file; all else stays. */
export function withTables(tables: DocumentTables, document: string, text: string, file: string): string {
  const { name, command, documents } = tables;
  const end = `<!-- end of the ${name} -->`;
  const begins = beginOf(tables).exec(text);
  const ends = text.indexOf(end);
  const write = documents[document];
  if (begins === null || ends < begins.index || write === undefined) {
    throw new Error(`${document} has no place for the ${name}`);
  }
  const results = readFileSync(new URL(file, root), 'utf8');
  const lines = [`<!-- ${name} of ${file}, written by ${command} -->`, '', ...write(results), '', end];
  return text.slice(0, begins.index) + lines.join('\n') + text.slice(ends + end.length);
}

/** @param file a results file, by its path from the repository's root */
export function writeTables(tables: DocumentTables, file: string): void {
  for (const document of Object.keys(tables.documents)) {
    const url = new URL(document, root);
    writeFileSync(url, withTables(tables, document, readFileSync(url, 'utf8'), file));
  }
}

function beginOf({ name, command }: DocumentTables): RegExp {
  return new RegExp(`<!-- ${name} of (\\S+), written by ${command} -->`);
}
