// The C# of the emulator: that it refuses what a compiler would, and fails as .NET does. Otherwise a green test of the policy would say nothing.

import assert from 'node:assert/strict';
import { Context, NamedValues, NetError, Request, Response, type Value } from './policy/context.ts';
import { compile } from './policy/csharp.ts';
import { CompileError } from './policy/csharp-syntax.ts';

function run(
  text: string,
  variables: Readonly<Record<string, Value>> = {},
  target = '/v1/models?api-version=1',
): Value {
  const headers = new NamedValues([
    ['Retry-After', '7'],
    ['Accept', 'a'],
    ['accept', 'b'],
  ]);
  const request = new Request('POST', { host: 'gateway', target }, headers, Buffer.from('{"model":"chat"}'));
  const context = new Context(request, null, () => 1_780_000_000_123);
  context.response = new Response(429, '', headers);
  for (const [name, value] of Object.entries(variables)) context.variables.set(name, value);
  const compiled = compile(text);
  assert.ok(compiled !== undefined);
  return compiled.run(context);
}

describe('an expression of the policy', () => {
  for (const [text, value] of [
    ['@(1 + 2 * 3)', 7],
    ['@(7 / 2)', 3],
    ['@((0L + 999) / 1000)', 0n],
    ['@(1 > 2 ? "a" : "b" + 1)', 'b1'],
    ['@("a" + 1L + "b")', 'a1b'],
    ['@(!(1 == 2) && 3 >= 3)', true],
    ['@("\\"\\\\\\n")', '"\\\n'],
    ['@("a/b//c".Split(\'/\').Where(x => x != "").Skip(1).Last())', 'c'],
    ['@(string.Join("-", new[] { "b", "a" }.OrderBy(x => x).Concat(new[] { "c" }).Take(2)))', 'a-b'],
    ['@(new[] { "3", "12" }.Select(x => Convert.ToInt64(x)).Where(x => x > 3).Min())', 12n],
    ['@("Bearer x".StartsWith("bearer ", StringComparison.OrdinalIgnoreCase))', true],
    ['@("Bearer x".StartsWith("bearer "))', false],
    ['@(Regex.Replace("aXbX", "(X)b", "${1}-"))', 'aX-X'],
    ['@(Uri.EscapeDataString(Uri.UnescapeDataString("a%20b%2Fc%")))', 'a%20b%2Fc%25'],
    ['@(context.Request.Headers.GetValueOrDefault("ACCEPT", ""))', 'a,b'],
    ['@(context.Request.OriginalUrl.Query.ContainsKey("Api-Version"))', true],
    ['@(context.Request.Body.As<string>(preserveContent: true))', '{"model":"chat"}'],
    ['@(context.Subscription == null && context.Response.StatusCode == 429)', true],
    ['@(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds())', 1_780_000_000_123n],
    ['@{ long n; return long.TryParse("12", out n) ? n : 1; }', 12n],
    ['@{ long n; if (long.TryParse("x", out n)) { return 1L; } return n; }', 0n],
    ['@{ var a = 1; if (a == 2) return "x"; else { a = 3; } return "y" + a; }', 'y3'],
    ['@{ long max = 9223372036854775807L; return max + 1; }', -9_223_372_036_854_775_808n],
    ['@("not a token".AsJwt() == null)', true],
  ] as const) {
    it(`${text} is ${String(value)}`, () => {
      assert.equal(run(text), value);
    });
  }

  for (const [text, type, variables] of [
    ['@(context.Variables["x"] == null)', 'KeyNotFoundException', {}],
    ['@((long)context.Variables["x"])', 'InvalidCastException', { x: 5 }],
    ['@((int)context.Variables["x"])', 'InvalidCastException', { x: 5n }],
    ['@((string)context.Variables["x"])', 'InvalidCastException', { x: true }],
    ['@((bool)context.Variables["x"])', 'NullReferenceException', { x: null }],
    ['@(((string)context.Variables["x"]).Contains("a"))', 'NullReferenceException', { x: null }],
    ['@("a".Contains((string)context.Variables["x"]))', 'ArgumentNullException', { x: null }],
    ['@(context.LastError.Reason.Contains("a"))', 'NullReferenceException', {}],
    ['@(Convert.ToInt64("soon"))', 'FormatException', {}],
    ['@(1 / (2 - 2))', 'DivideByZeroException', {}],
    ['@("a/b".Split(\'/\')[2])', 'IndexOutOfRangeException', {}],
    ['@("a".Split(\'/\').Skip(1).Last())', 'InvalidOperationException', {}],
  ] as const) {
    it(`${text} throws ${type}`, () => {
      assert.throws(
        () => run(text, variables),
        (error) => error instanceof NetError && error.type === type,
      );
    });
  }

  it('reads null as a text that is null', () => {
    assert.equal(run('@((string)context.Variables["x"] ?? "none")', { x: null }), 'none');
  });

  for (const text of [
    '@(1 + )',
    '@((1)',
    '@("a)',
    '@("\\d")',
    "@('ab')",
    '@(a)',
    '@(context.Nothing)',
    '@(context.Request.Headers["a"])',
    '@("a".Contains(1))',
    '@("a".Substring(1))',
    '@("a" == 1)',
    '@(1 == null)',
    '@(context.Variables["x"] == "a")',
    '@(context.Variables["x"].Contains("a"))',
    '@("a" && true)',
    '@(!1)',
    '@((int)"1")',
    '@(true ? 1 : "a")',
    '@(new[] { 1, "a" })',
    '@(1 ?? 2)',
    '@("a"?.Length)',
    '@("a".Split(\'/\').Select(x => x.Nothing))',
    '@("a".Split(\'/\').Where(x => x))',
    '@(context.Request.Body.As<string>(other: true))',
    '@{ return 1 }',
    '@{ var a = 1; }',
    '@{ if (true) { return 1; } }',
    '@{ var a = null; return a; }',
    '@{ var a = 1; var a = 2; return a; }',
    '@{ var a = 1; a = "b"; return a; }',
    '@{ b = 1; return b; }',
    '@{ int n; return long.TryParse("1", out n); }',
    '@{ var a = "x"; return "y".Split(\'/\').Any(a => a == "z"); }',
  ]) {
    it(`${text} does not compile`, () => {
      assert.throws(() => compile(text), CompileError);
    });
  }
});
