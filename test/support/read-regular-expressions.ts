/**
 * The command behind regular-expressions.ts: texts of TypeScript come in as JSON, what was found goes out so. The compiler's
 * own parser reads them. (That interface of TypeScript 7 is called unstable; its version is pinned, and this is its only
 * importer. It runs apart because the compiler says farewell on the standard error of whoever started it.)
 */
import { readFileSync } from 'node:fs';
import {
  isCallExpression,
  isIdentifier,
  isNewExpression,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isRegularExpressionLiteral,
  isStringLiteral,
  isTaggedTemplateExpression,
  isTemplateExpression,
  isVariableDeclaration,
  type Expression,
  type Node,
  type SourceFile,
} from 'typescript/unstable/ast';
import { createVirtualFileSystem } from 'typescript/unstable/fs';
import { API } from 'typescript/unstable/sync';
import type { FoundExpressions, RegularExpression } from './regular-expressions.ts';

const input: Record<string, string> = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(expressionsIn(new Map(Object.entries(input)))));

/** @param texts path → text */
function expressionsIn(texts: ReadonlyMap<string, string>): FoundExpressions {
  const config = '/tsconfig.json';
  const options = { noLib: true, noResolve: true, types: [], module: 'nodenext', target: 'es2024' };
  const files = Object.fromEntries([...texts].map(([path, text]) => [`/${path}`, text]));
  const fs = createVirtualFileSystem({
    ...files,
    [config]: JSON.stringify({ compilerOptions: options, files: Object.keys(files) }),
  });
  const api = new API({ fs });
  try {
    const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
    const expressions: RegularExpression[] = [];
    const unreadable: string[] = [];
    for (const path of texts.keys()) {
      const file = project?.program.getSourceFile(`/${path}`);
      if (file === undefined) throw new Error(`the compiler has not read ${path}`);
      const [mistake] = project?.program.getSyntacticDiagnostics(`/${path}`) ?? [];
      if (mistake !== undefined) throw new Error(`${path} is not TypeScript: ${mistake.text}`);
      readFile(file, path, expressions, unreadable);
    }
    return { expressions, unreadable };
  } finally {
    api.close();
  }
}

function readFile(file: SourceFile, path: string, expressions: RegularExpression[], unreadable: string[]): void {
  const constants = new Map<string, string>();

  function visit(node: Node): void {
    if (isVariableDeclaration(node) && isIdentifier(node.name)) {
      const text = textOf(node.initializer, constants);
      if (text !== undefined) constants.set(node.name.text, text);
    }
    if (isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/');
      expressions.push({ path, source: node.text.slice(1, end), flags: node.text.slice(end + 1) });
    }
    if ((isNewExpression(node) || isCallExpression(node)) && isMaker(node.expression)) {
      const { arguments: given = [] } = node;
      const [source, flags] = [given[0], given[1]].map((argument) => textOf(argument, constants));
      const isRead = source !== undefined && (given.length < 2 || flags !== undefined);
      if (isRead) expressions.push({ path, source, flags: flags ?? '' });
      else if (!isLiteral(given[0]) || given.length > 1) unreadable.push(`${path}: ${node.getText(file)}`);
    }
    node.forEachChild(visit);
  }

  visit(file);
}

/** `RegExp`, and the methods of texts that turn a text into one. */
function isMaker(callee: Expression): boolean {
  if (isIdentifier(callee)) return callee.text === 'RegExp';
  return isPropertyAccessExpression(callee) && ['RegExp', 'match', 'matchAll', 'search'].includes(callee.name.text);
}

/** Met, and read, by itself. */
function isLiteral(node: Node | undefined): boolean {
  return node !== undefined && isRegularExpressionLiteral(node);
}

/** A text that stands in the code, or is put together from such by a template. */
function textOf(node: Expression | undefined, constants: ReadonlyMap<string, string>): string | undefined {
  if (node === undefined) return undefined;
  if (isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (isIdentifier(node)) return constants.get(node.text);
  const isRaw = isTaggedTemplateExpression(node) && node.tag.getText() === 'String.raw';
  const template = isRaw ? node.template : node;
  const written = (part: { readonly text: string; readonly rawText?: string }): string =>
    isRaw ? (part.rawText ?? part.text) : part.text;
  if (isNoSubstitutionTemplateLiteral(template)) return written(template);
  if (!isTemplateExpression(template)) return undefined;
  let text = written(template.head);
  for (const { expression, literal } of template.templateSpans) {
    const value = textOf(expression, constants);
    if (value === undefined) return undefined;
    text += value + written(literal);
  }
  return text;
}
