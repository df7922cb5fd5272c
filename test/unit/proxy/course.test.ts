import assert from 'node:assert/strict';
import type { Outcome } from '../../../app/src/balancer/outcome.ts';
import type { Lease } from '../../../app/src/balancer/pool.ts';
import { Course } from '../../../app/src/proxy/course.ts';
import {
  ABANDONED,
  backend,
  FORBIDDEN,
  MISSING,
  RESET,
  SERVED,
  SERVER_ERROR,
  SILENT,
  SLOW,
  UNAUTHORIZED,
  UNAVAILABLE,
  UNSUPPORTED,
  throttled,
} from '../../support/pool.ts';

let lastId = 0;

function lease(name: string): Lease {
  lastId += 1;
  return { id: lastId, backend: backend(name), deployment: 'gpt', epoch: 0, probe: false, startedAt: 0 };
}

function kept(status: number): {
  readonly status: number;
  readonly rawHeaders: readonly string[];
  readonly bytes: Buffer;
} {
  return { status, rawHeaders: [], bytes: Buffer.from('x') };
}

/** It was slow to begin, and another could be asked. */
function giveUp(course: Course, name: string): void {
  course.slow.add(name);
  course.add(lease(name), SLOW, undefined);
}

describe('course: the reasons', () => {
  it('are what the network said, by backend, and nothing where it said nothing', () => {
    const course = new Course('r-1');
    assert.equal(course.reasons(), undefined);
    course.add(lease('openai1'), throttled(1200), undefined);
    course.add(lease('openai2'), RESET, undefined);
    assert.equal(course.reasons(), undefined);
    course.add(lease('openai3'), { kind: 'failed', cause: 'connect', code: 'ENOTFOUND' }, undefined);
    course.add(lease('openai4'), { kind: 'failed', cause: 'reset', code: 'ECONNRESET' }, undefined);
    assert.equal(course.reasons(), 'openai3=ENOTFOUND openai4=ECONNRESET');
    assert.equal(course.trace(), 'openai1=429(1200ms) openai2=reset openai3=connect openai4=reset');
  });
});

describe('course: the trace', () => {
  it('tells each attempt in order, the wait that was asked for included', () => {
    const course = new Course('r-1');
    course.attempts = 2;
    course.add(lease('openai1'), throttled(1200), undefined);
    assert.equal(course.trace('openai2', 200), 'openai1=429(1200ms) openai2=200');
    assert.deepEqual(course.headers('openai2', 200), [
      'x-balancer-request-id',
      'r-1',
      'x-balancer-attempts',
      '2',
      'x-balancer-backend',
      'openai2',
      'x-balancer-trace',
      'openai1=429(1200ms) openai2=200',
    ]);
  });

  it('tells of a first attempt that was answered', () => {
    const course = new Course('r-1');
    course.attempts = 1;
    assert.equal(course.trace('openai1', 200), 'openai1=200');
  });

  it('names no backend when none answered, and has no trace when none was asked', () => {
    const course = new Course('r-1');
    assert.equal(course.trace(), '');
    assert.deepEqual(course.headers(), ['x-balancer-request-id', 'r-1', 'x-balancer-attempts', '0']);
    course.attempts = 1;
    course.add(lease('openai1'), RESET, undefined);
    assert.deepEqual(course.headers().slice(2), ['x-balancer-attempts', '1', 'x-balancer-trace', 'openai1=reset']);
  });

  const steps: readonly (readonly [Outcome, number | undefined, string])[] = [
    [throttled(), undefined, '429'],
    [UNAVAILABLE, 503, '503'],
    [UNAVAILABLE, undefined, '503'],
    [SILENT, undefined, 'header-timeout'],
    [MISSING, 404, '404'],
    [MISSING, undefined, 'missing'],
    [UNSUPPORTED, 400, '400'],
    [UNAUTHORIZED, 401, '401'],
    [FORBIDDEN, undefined, 'unauthorized'],
    [SERVED, undefined, 'served'],
    [{ kind: 'refused', status: 400 }, undefined, 'refused'],
    [{ kind: 'broken', cause: 'idle' }, undefined, 'broken'],
    [ABANDONED, undefined, 'abandoned'],
    [JSON.parse('{"kind":"future"}'), undefined, '[object Object]'],
  ];
  for (const [outcome, status, step] of steps) {
    it(`calls ${JSON.stringify(outcome)}${status === undefined ? '' : ` with ${status}`} "${step}"`, () => {
      const course = new Course('r-1');
      course.add(lease('a'), outcome, status === undefined ? undefined : kept(status));
      assert.equal(course.trace(), `a=${step}`);
    });
  }
});

describe('course: what failed', () => {
  it('remembers who was tried, and whose answer is kept', () => {
    const course = new Course('r-1');
    const [first, second] = [lease('a'), lease('b')];
    const answer = kept(503);
    course.add(first, UNAVAILABLE, answer);
    course.add(second, RESET, undefined);
    assert.deepEqual([...course.tried], ['a', 'b']);
    assert.deepEqual(course.failures, [
      { lease: first, outcome: UNAVAILABLE, hasAnswer: true, kept: answer },
      { lease: second, outcome: RESET, hasAnswer: false },
    ]);
  });

  it('lets who throttled it be tried again when it begins anew, unless they failed it since', () => {
    const course = new Course('r-1');
    course.add(lease('a'), throttled(100), undefined);
    course.add(lease('b'), UNAVAILABLE, undefined);
    course.restart();
    assert.deepEqual([...course.tried], ['b']);
    course.add(lease('a'), UNAVAILABLE, undefined);
    course.add(lease('c'), throttled(100), undefined);
    course.restart();
    assert.deepEqual([...course.tried], ['b', 'a']);
  });

  it('lets who was given up for being slow be tried again when nobody else is left, once for each time', () => {
    const course = new Course('r-1');
    assert.equal(course.takeSlow(), false);
    giveUp(course, 'a');
    course.add(lease('b'), SILENT, undefined);
    course.add(lease('c'), throttled(100), undefined);
    assert.equal(course.takeSlow(), true);
    assert.deepEqual([...course.tried], ['b', 'c']);
    course.add(lease('a'), UNAVAILABLE, undefined);
    assert.equal(course.takeSlow(), false);
    assert.deepEqual([...course.tried], ['b', 'c', 'a']);
    giveUp(course, 'd');
    course.add(lease('e'), UNAVAILABLE, undefined);
    assert.equal(course.takeSlow(), true);
    assert.deepEqual([...course.tried], ['b', 'c', 'a', 'e']);
  });

  it('lets who was given up be tried again at once when nobody can be asked after all', () => {
    const course = new Course('r-1');
    giveUp(course, 'a');
    assert.equal(course.takeSlow(), true);
    assert.deepEqual([...course.tried], []);
  });

  for (const outcome of [SLOW, SILENT]) {
    it(`lets nobody be tried again when the last one took all its time: ${JSON.stringify(outcome)}`, () => {
      const course = new Course('r-1');
      giveUp(course, 'a');
      course.add(lease('b'), outcome, undefined);
      assert.equal(course.takeSlow(), false);
      assert.deepEqual([...course.tried], ['a', 'b']);
    });
  }

  it('gives the leases of the 500s, and of nothing else', () => {
    const course = new Course('r-1');
    const [first, second, third] = [lease('a'), lease('b'), lease('c')];
    course.add(first, SERVER_ERROR, kept(500));
    course.add(second, UNAVAILABLE, kept(503));
    course.add(third, SERVER_ERROR, undefined);
    assert.deepEqual(course.failed500(), [first, third]);
  });
});
