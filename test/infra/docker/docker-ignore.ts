/**
 * What a .dockerignore keeps from the builder, by the rules of moby/patternmatcher that docker and azd share: patterns from top to bottom, the
 * last that matches a path or one of its folders counts, `!` takes it back.
 */
export type IsIgnored = (path: string) => boolean;

interface Pattern {
  readonly isException: boolean;
  readonly matches: RegExp;
}

/** @returns asks for a file's path from the root, with slashes */
export function readDockerIgnore(text: string): IsIgnored {
  const patterns = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(patternOf);
  return (path) => {
    const steps = path.split('/');
    const paths = steps.map((_, index) => steps.slice(0, index + 1).join('/'));
    let isIgnored = false;
    for (const { isException, matches } of patterns) {
      if (isException === isIgnored && paths.some((each) => matches.test(each))) isIgnored = !isException;
    }
    return isIgnored;
  };
}

function patternOf(line: string): Pattern {
  const isException = line.startsWith('!');
  const pattern = (isException ? line.slice(1).trim() : line).replace(/^\//, '').replace(/\/$/, '');
  if (/[[\]\\]/.test(pattern)) throw new Error(`a pattern that is not known here: ${line}`);
  const source = pattern.replaceAll(/\*\*\/|\*\*|\*|\?|[.+^${}()|]/g, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    return part === '?' ? '[^/]' : `\\${part}`;
  });
  return { isException, matches: new RegExp(`^${source}$`) };
}
