/** Reads RFC 4180, strictly: what a spreadsheet would take for the rows and fields of a text. */
export function rowsOfCsv(text: string): readonly (readonly string[])[] {
  const rows: string[][] = [];
  let row: string[] = [];
  let at = 0;
  while (at < text.length) {
    const [written = '', quoted, plain = '', end = ''] =
      /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/.exec(text.slice(at)) ?? [];
    if (written === '') throw new Error(`no field at ${at}`);
    row.push(quoted?.replaceAll('""', '"') ?? plain);
    at += written.length;
    if (end === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}
