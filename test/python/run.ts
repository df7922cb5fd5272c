/**
 * `npm run test:python`: the openai package from PyPI against the simulator, and against the balancer in front of it,
 * both in this process. Arguments go to pytest: `npm run test:python -- -k streams`. Exits with its exit code.
 */
import { FOLDER, MissingPythonError, preparePython, run } from './environment.ts';
import { openStage } from './stage.ts';

const CHECKS: readonly (readonly string[])[] = [
  ['ruff', 'check', '--quiet', '--output-format', 'concise', FOLDER],
  ['ruff', 'format', '--check', '--quiet', FOLDER],
  ['mypy', '--no-error-summary', FOLDER],
];
const CHECK_WITHIN_MS = 120_000;
const TESTS_WITHIN_MS = 300_000;

async function main(): Promise<number> {
  const python = await preparePython();
  const { PATH } = process.env;
  // Nothing else of this process's environment: no OPENAI_API_KEY, no proxy. Nobody speaks TLS here, so the authorities
  // come from a folder that has none: reading the system's for every new client takes longer than most tests.
  const env = { PATH, PYTHONDONTWRITEBYTECODE: '1', SSL_CERT_DIR: FOLDER };
  for (const check of CHECKS) {
    const failed = await run(python, ['-m', ...check], { env, withinMs: CHECK_WITHIN_MS });
    if (failed !== 0) return failed;
  }
  const stage = await openStage();
  try {
    const args = ['-m', 'pytest', '--quiet', ...process.argv.slice(2)];
    return await run(python, args, { env: { ...env, STAGE_URL: stage.url }, withinMs: TESTS_WITHIN_MS });
  } finally {
    await stage.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof MissingPythonError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
