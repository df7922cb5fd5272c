// Whether a request may pass: the key in `api-key` or as a bearer, or the token as a bearer with a role, and never two
// credentials.

import type { IncomingHttpHeaders } from 'node:http';
import type { ResourceOptions } from '../options.ts';
import { accessDenied, keysDisabled, roleMissing, twoCredentials } from './wire.ts';
import type { ErrorReply } from './wire.ts';

const BEARER = /^bearer +/i;

export function checkCredentials(
  headers: IncomingHttpHeaders,
  options: ResourceOptions,
  hasRole: boolean,
): ErrorReply | undefined {
  const key = headers['api-key'];
  const { authorization } = headers;
  if (key !== undefined && authorization !== undefined) {
    return twoCredentials;
  }
  const { apiKey, bearerToken, isKeyless = false } = options;
  if (isKeyless && key !== undefined) {
    return keysDisabled;
  }
  const bearer =
    authorization !== undefined && BEARER.test(authorization) ? authorization.replace(BEARER, '') : undefined;
  const isKey = (key ?? bearer) === apiKey;
  if (apiKey !== undefined && isKey) {
    return isKeyless ? keysDisabled : undefined;
  }
  const isOpen = apiKey === undefined && bearerToken === undefined;
  if (!isOpen && (bearer === undefined || bearer !== bearerToken)) {
    return accessDenied;
  }
  // What is left is a token, or no credential where none is asked for: only tokens need a role.
  return bearer === undefined || hasRole ? undefined : roleMissing;
}
