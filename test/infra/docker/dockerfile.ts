/** Reads a Dockerfile: the few instructions that ours needs, and no other. */
import assert from 'node:assert/strict';

export type Instruction =
  | { readonly kind: 'workdir'; readonly path: string }
  | {
      readonly kind: 'copy';
      readonly from: string | undefined;
      readonly sources: readonly string[];
      readonly target: string;
    }
  | { readonly kind: 'run'; readonly command: string }
  | { readonly kind: 'env'; readonly values: ReadonlyMap<string, string> }
  | { readonly kind: 'label'; readonly values: ReadonlyMap<string, string> }
  | { readonly kind: 'user'; readonly user: string }
  | { readonly kind: 'expose'; readonly port: number }
  | { readonly kind: 'entrypoint'; readonly words: readonly string[] }
  | { readonly kind: 'cmd'; readonly words: readonly string[] };

export interface Stage {
  /** '' when it has none. */
  readonly name: string;
  /** An image, or the name of an earlier stage. */
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

/** @throws when it has anything that is not known here, or that only BuildKit understands */
export function readDockerfile(text: string): readonly Stage[] {
  assert.doesNotMatch(text, /^#\s*(?:syntax|escape|check)\s*=/im, 'a parser directive');
  const stages: { name: string; base: string; instructions: Instruction[] }[] = [];
  for (const line of linesOf(text)) {
    const [, word = '', rest = ''] = /^(\S+)\s+(.+)$/.exec(line) ?? [];
    if (word === 'FROM') {
      const [, base = '', name = ''] = /^(\S+)(?:\s+AS\s+([a-z][a-z0-9-]*))?$/.exec(rest) ?? [];
      assert.notEqual(base, '', `not understood: ${line}`);
      stages.push({ name, base, instructions: [] });
    } else {
      const stage = stages.at(-1);
      assert.ok(stage !== undefined, `before the first FROM: ${line}`);
      stage.instructions.push(instructionOf(word, rest));
    }
  }
  return stages;
}

/** Without comments and empty lines; what a backslash continues is one line. */
function linesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => !/^\s*(?:#|$)/.test(line))
    .join('\n')
    .replaceAll(/\\\s*\n\s*/g, '')
    .split('\n')
    .filter((line) => line !== '');
}

function instructionOf(word: string, rest: string): Instruction {
  const line = `${word} ${rest}`;
  assert.doesNotMatch(rest, /<</, `only BuildKit knows here-documents: ${line}`);
  assert.doesNotMatch(rest, /\$/, `variables are not replaced here: ${line}`);
  switch (word) {
    case 'WORKDIR':
      assert.match(rest, /^\/\S+$/, `not an absolute path: ${line}`);
      return { kind: 'workdir', path: rest };
    case 'COPY':
      return copyOf(rest);
    case 'RUN':
      assert.doesNotMatch(rest, /^(?:--|\[)/, `only the plain form: ${line}`);
      return { kind: 'run', command: rest };
    case 'ENV':
      return { kind: 'env', values: pairsOf(rest) };
    case 'LABEL':
      return { kind: 'label', values: pairsOf(rest) };
    case 'USER':
      return { kind: 'user', user: rest };
    case 'EXPOSE':
      assert.match(rest, /^\d+$/, `not one port: ${line}`);
      return { kind: 'expose', port: Number(rest) };
    case 'ENTRYPOINT':
      return { kind: 'entrypoint', words: wordsOf(rest) };
    case 'CMD':
      return { kind: 'cmd', words: wordsOf(rest) };
    default:
      throw new Error(`an instruction that is not known here: ${line}`);
  }
}

function copyOf(rest: string): Instruction {
  const words = rest.split(/\s+/);
  const from = words[0]?.startsWith('--from=') === true ? words.shift()?.slice('--from='.length) : undefined;
  const flag = words.find((word) => word.startsWith('--'));
  assert.equal(flag, undefined, `a flag of COPY that is not known here: ${flag}`);
  const target = words.pop();
  assert.ok(target !== undefined && words.length > 0, `not understood: COPY ${rest}`);
  return { kind: 'copy', from, sources: words, target };
}

function pairsOf(rest: string): ReadonlyMap<string, string> {
  const pattern = /\s*([\w.]+)=(?:"([^"]*)"|(\S+))/gy;
  const pairs = [...rest.matchAll(pattern)];
  assert.equal(
    pairs
      .map(([all]) => all)
      .join('')
      .trim(),
    rest.trim(),
    `not understood: ${rest}`,
  );
  return new Map(pairs.map(([, name = '', quoted, bare]) => [name, quoted ?? bare ?? '']));
}

/** The exec form; the other one starts a shell, which does not hand signals on. */
function wordsOf(rest: string): readonly string[] {
  const words: unknown = JSON.parse(rest);
  assert.ok(Array.isArray(words) && words.length > 0, `not the exec form: ${rest}`);
  return words.map((word: unknown) => {
    assert.ok(typeof word === 'string', `not the exec form: ${rest}`);
    return word;
  });
}
