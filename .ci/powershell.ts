/**
 * Parses the scripts for Windows with a grammar of PowerShell. Its packages are installed beside the repository's own,
 * in the folder that is given: 12 MB and a native build that nobody who clones this should need.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

interface SyntaxNode {
  readonly isError: boolean;
  readonly isMissing: boolean;
  readonly hasError: boolean;
  readonly text: string;
  readonly startPosition: { readonly row: number };
  readonly children: readonly (SyntaxNode | null)[];
}

interface TreeSitter {
  readonly Parser: {
    new (): {
      setLanguage(language: unknown): void;
      parse(text: string): { readonly rootNode: SyntaxNode } | null;
    };
    init(): Promise<void>;
  };
  readonly Language: { load(path: string): Promise<unknown> };
}

const [, , folder] = process.argv;
if (folder === undefined)
  throw new Error('give the folder with node_modules/web-tree-sitter and tree-sitter-powershell');
const find = createRequire(pathToFileURL(`${folder}/package.json`)).resolve;
const { Parser, Language }: TreeSitter = await import(pathToFileURL(find('web-tree-sitter')).href);
await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load(find('tree-sitter-powershell/tree-sitter-powershell.wasm')));

/** Where the grammar could not go on, a line each. */
function faultsOf(node: SyntaxNode): readonly string[] {
  if (node.isError || node.isMissing) return [`line ${node.startPosition.row + 1}: ${node.text.slice(0, 80)}`];
  return node.hasError ? node.children.flatMap((child) => (child === null ? [] : faultsOf(child))) : [];
}

function faultsIn(text: string): readonly string[] {
  const tree = parser.parse(text);
  return tree === null ? ['not parsed'] : faultsOf(tree.rootNode);
}

if (faultsIn("if ($true) { complain 'x'").length === 0) throw new Error('the grammar takes anything');
const names = readdirSync('scripts').filter((name) => name.endsWith('.ps1'));
const faults = names.flatMap((name) =>
  faultsIn(readFileSync(`scripts/${name}`, 'utf8')).map((fault) => `scripts/${name}, ${fault}`),
);
process.stdout.write(`${names.length} scripts were parsed, with ${faults.length} faults.\n${faults.join('\n')}`);
process.exitCode = names.length > 0 && faults.length === 0 ? 0 : 1;
