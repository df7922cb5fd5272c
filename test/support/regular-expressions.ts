/** Every regular expression in texts of TypeScript. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface RegularExpression {
  /** Path of the file. */
  readonly path: string;
  readonly source: string;
  readonly flags: string;
}

export interface FoundExpressions {
  readonly expressions: readonly RegularExpression[];
  /** What makes an expression out of something that is only known when it runs; each as `path: code`. */
  readonly unreadable: readonly string[];
}

const READER = fileURLToPath(new URL('read-regular-expressions.ts', import.meta.url));

/**
 * @param texts path → text
 * @throws when one is not TypeScript
 */
export function expressionsIn(texts: ReadonlyMap<string, string>): FoundExpressions {
  const input = JSON.stringify(Object.fromEntries(texts));
  return JSON.parse(execFileSync(process.execPath, [READER], { input, encoding: 'utf8', stdio: 'pipe' }));
}
