/** Finds its way in what azd would deploy, and has the names that things get in a new environment. */
import assert from 'node:assert/strict';
import { NEW_ENVIRONMENT } from './azd.ts';
import { SUBSCRIPTION, type ExpandedResource, type Expansion } from './expand.ts';
import { uniqueString, type Value } from './values.ts';

const { AZURE_ENV_NAME: NAME = '', AZURE_LOCATION: LOCATION = '' } = NEW_ENVIRONMENT;
export const TOKEN = uniqueString(SUBSCRIPTION, NAME, LOCATION);
export const GROUP = `${SUBSCRIPTION}/resourceGroups/rg-${NAME}`;
export const TAGS = { 'azd-env-name': NAME };

/** Of something in the group: `idOf('Microsoft.App/containerApps', 'ca-abc')`. */
export function idOf(type: string, name: string): string {
  return `${GROUP}/providers/${type}/${name}`;
}

export const IDENTITY = idOf('Microsoft.ManagedIdentity/userAssignedIdentities', `id-${TOKEN}`);
export const IDENTITY_CLIENT_ID = `{{id-${TOKEN}.properties.clientId}}`;
export const IDENTITY_PRINCIPAL_ID = `{{id-${TOKEN}.properties.principalId}}`;

/** Of a type, in order. */
export function all({ resources }: Expansion, type: string): readonly ExpandedResource[] {
  return resources.filter((resource) => resource.type === type);
}

export function only(expansion: Expansion, type: string): ExpandedResource {
  const [found, ...more] = all(expansion, type);
  assert.ok(found !== undefined && more.length === 0, `${type}: ${more.length + 1}`);
  return found;
}

/** What is known of a resource but its order: for comparing it whole. */
export function whole({ name, scope, body }: ExpandedResource): Value {
  return { name, scope, ...body };
}

/** Paths of the resources and modules that are there before this one is begun with. */
export function before({ resources, modules }: Expansion, path: string): ReadonlySet<string> {
  const parts = [...resources, ...modules.filter((each) => each.path !== '')];
  assert.ok(
    parts.some((part) => part.path === path),
    `nothing is called ${path}`,
  );
  const found = new Set<string>();
  const visit = (begun: string): void => {
    // What is in a module waits for what the module waits for.
    const waiting = parts.filter((part) => part.path === begun || begun.startsWith(`${part.path}/`));
    for (const earlier of waiting.flatMap(({ after }) => after)) {
      // A module is there when all that is in it is.
      for (const part of parts) {
        if (found.has(part.path) || (part.path !== earlier && !part.path.startsWith(`${earlier}/`))) continue;
        found.add(part.path);
        visit(part.path);
      }
    }
  };
  visit(path);
  return found;
}
