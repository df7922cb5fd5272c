/** A request with exactly the path that a test says. */
import { codeOf, exchange, head } from '../../support/raw.ts';

/** A GET of a path that URL parsers would change on its way. */
export async function asIs(
  port: number,
  path: string,
  lines: readonly string[] = ['api-key: team-key'],
): Promise<{ readonly status: number; readonly code: string }> {
  const answer = await exchange(port, head(`GET ${path} HTTP/1.1`, 'Host: x', ...lines, 'Connection: close'));
  return { status: answer.status, code: answer.status >= 400 ? codeOf(answer) : '' };
}
