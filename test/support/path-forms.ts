/** What callers ask for, in every form, and what a backend is asked for: at both fronts of the template the same. */
const VERSION = '?api-version=2024-10-21';

export const PATH_FORMS: readonly { readonly asked: string; readonly upstream: string }[] = [
  { asked: '/models', upstream: '/openai/v1/models' },
  { asked: '/v1/models', upstream: '/openai/v1/models' },
  { asked: '/openai/v1/models', upstream: '/openai/v1/models' },
  { asked: '/openai/v1/models/', upstream: '/openai/v1/models' },
  { asked: '//openai//v1///models', upstream: '/openai/v1/models' },
  { asked: '/openai/models', upstream: '/openai/v1/models' },
  { asked: '/models?limit=2&after=x%20y', upstream: '/openai/v1/models?limit=2&after=x%20y' },
  { asked: '/openai/v1/models?api-version=preview', upstream: '/openai/v1/models?api-version=preview' },
  { asked: `/openai/models${VERSION}`, upstream: `/openai/models${VERSION}` },
  { asked: `/openai/models${VERSION}&x=%2F..%2F`, upstream: `/openai/models${VERSION}&x=%2F..%2F` },
  { asked: '/models/gpt-5.4-mini', upstream: '/openai/v1/models/gpt-5.4-mini' },
  { asked: `/openai/models/gpt-5.4-mini${VERSION}`, upstream: `/openai/models/gpt-5.4-mini${VERSION}` },
];
