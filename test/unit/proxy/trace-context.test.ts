import assert from 'node:assert/strict';
import {
  createTracing as createRealTracing,
  isTracestate,
  parseTraceparent,
  tellTrace,
  type Tracing,
} from '../../../app/src/proxy/trace-context.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const FIRST = { isSampled: true, traceId: TRACE, spanId: SPAN };

describe('a traceparent', () => {
  it('is read strictly', () => {
    assert.deepEqual(parseTraceparent(`00-${TRACE}-${SPAN}-01`), FIRST);
    assert.deepEqual(parseTraceparent(`00-${TRACE}-${SPAN}-00`), { ...FIRST, isSampled: false });
    // Flags that are not known yet say nothing of sampling.
    assert.deepEqual(parseTraceparent(`00-${TRACE}-${SPAN}-fe`), { ...FIRST, isSampled: false });
    assert.deepEqual(parseTraceparent(`00-${TRACE}-${SPAN}-03`), FIRST);
  });

  it('of a later version is read as far as this one goes', () => {
    assert.deepEqual(parseTraceparent(`cc-${TRACE}-${SPAN}-01`), FIRST);
    assert.deepEqual(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-comes`), FIRST);
    assert.equal(parseTraceparent(`cc-${TRACE}-${SPAN}-01.what-comes`), undefined);
  });

  for (const [what, value] of [
    ['nothing', undefined],
    ['empty', ''],
    ['upper case', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['no trace', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['no span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['the version that is forbidden', `ff-${TRACE}-${SPAN}-01`],
    ['more than version 00 has', `00-${TRACE}-${SPAN}-01-more`],
    ['a short trace', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['a long span', `00-${TRACE}-${SPAN}0-01`],
    ['short flags', `00-${TRACE}-${SPAN}-1`],
    ['two of them', `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`],
    ['blanks around', ` 00-${TRACE}-${SPAN}-01`],
    ['a line after it', `00-${TRACE}-${SPAN}-01\n`],
    ['another alphabet', `00-${TRACE.replace('a', 'g')}-${SPAN}-01`],
  ] as const) {
    it(`is not believed: ${what}`, () => assert.equal(parseTraceparent(value), undefined));
  }
});

describe('a tracestate', () => {
  for (const value of [
    'a=1',
    'a=1,b=2',
    'a=1 , b=2',
    'a=1,,b=2',
    '1t@sys=x y',
    'a*/-_0=!"#+:~',
    `a=${'x'.repeat(256)}`,
  ]) {
    it(`is one: ${value.slice(0, 30)}`, () => assert.ok(isTracestate(value)));
  }
  for (const value of [
    '',
    ',',
    'a',
    'a=',
    '=1',
    'A=1',
    '1a=1',
    'a=1,a=2',
    'a=b=c',
    'a=\u00e9',
    `a=${'x'.repeat(257)}`,
    `${'a'.repeat(257)}=1`,
    Array.from({ length: 33 }, (_, index) => `a${index}=1`).join(','),
  ]) {
    it(`is none: ${value.slice(0, 30)}`, () => assert.ok(!isTracestate(value)));
  }
});

describe('tracing', () => {
  const createTracing = (samplePercent: number, random: () => number): Tracing =>
    createRealTracing({ samplePercent, random, clock: () => 0 });

  it('goes on with the trace of a caller, whose decision it follows', () => {
    const tracing = createTracing(0, () => 0.5);
    const { span, tracestate } = tracing.begin({ traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=1' });
    assert.deepEqual({ ...span, spanId: '' }, { traceId: TRACE, spanId: '', parentId: SPAN, isSampled: true });
    assert.equal(tracestate, 'a=1');
    const never = createTracing(100, () => 0).begin({ traceparent: `00-${TRACE}-${SPAN}-00` });
    assert.equal(never.span.isSampled, false);
  });

  it('begins a trace where there is none, and takes nothing along of one that is not right', () => {
    const tracing = createTracing(30, () => 0.29);
    for (const headers of [{}, { tracestate: 'a=1' }, { traceparent: 'nonsense', tracestate: 'a=1' }]) {
      const { span, tracestate } = tracing.begin(headers);
      assert.match(span.traceId, /^[0-9a-f]{32}$/);
      assert.match(span.spanId, /^[0-9a-f]{16}$/);
      assert.deepEqual([span.parentId, span.isSampled, span.samplePercent], [undefined, true, 30]);
      assert.equal(tracestate, undefined);
    }
    assert.equal(createTracing(30, () => 0.31).begin({}).span.isSampled, false);
    assert.equal(createTracing(0, () => 0).begin({}).span.isSampled, false);
    assert.equal(createTracing(100, () => 0.999).begin({}).span.isSampled, true);
  });

  it('drops a tracestate that is none, and keeps the trace', () => {
    const { span, tracestate } = createTracing(100, () => 0).begin({
      traceparent: `00-${TRACE}-${SPAN}-01`,
      tracestate: 'NOT ONE',
    });
    assert.deepEqual([span.traceId, tracestate], [TRACE, undefined]);
  });

  it('gives each attempt a span of its own, of which its backend is told', () => {
    const tracing = createTracing(100, () => 0);
    const trace = tracing.begin({ traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'a=1' });
    const [first, second] = [tracing.child(trace), tracing.child(trace)];
    assert.notEqual(first.spanId, second.spanId);
    assert.deepEqual([first.traceId, first.parentId], [TRACE, trace.span.spanId]);
    const headers: Record<string, string> = { traceparent: 'as it came', tracestate: 'as it came' };
    tellTrace(headers, trace, first);
    assert.deepEqual(headers, { traceparent: `00-${TRACE}-${first.spanId}-01`, tracestate: 'a=1' });
    tellTrace(headers, { span: trace.span }, { ...second, isSampled: false });
    assert.deepEqual(headers, { traceparent: `00-${TRACE}-${second.spanId}-00` });
  });

  it('needs no further ids of what is not sampled', () => {
    const trace = createTracing(0, () => 0).begin({});
    assert.deepEqual(createTracing(0, () => 0).child(trace), trace.span);
  });

  it('without a percentage keeps all traces while there are few, and about five a second of more', () => {
    let now = 0;
    const tracing = createRealTracing({ random: () => 0.5, clock: () => now });
    const percents = (count: number): readonly number[] =>
      Array.from({ length: count }, () => tracing.begin({}).span.samplePercent ?? 0);
    assert.deepEqual(new Set(percents(5)), new Set([100]));
    assert.equal(percents(5).at(-1), 50);
    now = 1000;
    assert.deepEqual(new Set(percents(10)), new Set([50]));
    assert.equal(percents(40).at(-1), 10);
    now = 2000;
    // Each weighs as much as those it stands for.
    assert.deepEqual(new Set(percents(50)), new Set([10]));
    now = 4000;
    assert.deepEqual(new Set(percents(5)), new Set([100]));
  });

  it('makes ids that differ', () => {
    const tracing = createTracing(100, () => 0);
    const ids = Array.from({ length: 2000 }, () => tracing.begin({}).span);
    assert.equal(new Set(ids.map(({ traceId }) => traceId)).size, 2000);
    assert.equal(new Set(ids.map(({ spanId }) => spanId)).size, 2000);
  });
});
