/** Checks azure.yaml against azd's published schema, given as the only argument. */
import { readFileSync } from 'node:fs';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { parse } from 'yaml';

const [, , schemaPath] = process.argv;
if (schemaPath === undefined) throw new Error('give the path of azure.yaml.json');

// `loadSchema` answers for the schemas of other hosts, which live on the network and are not of a container app.
const ajv = new Ajv2019({ strict: false, validateFormats: false, loadSchema: async () => Promise.resolve({}) });
const schema: object = JSON.parse(readFileSync(schemaPath, 'utf8'));
const validate = await ajv.compileAsync(schema);
if (!validate(parse(readFileSync('azure.yaml', 'utf8')))) {
  process.stderr.write(
    `azure.yaml does not fit azd's schema:\n${ajv.errorsText(validate.errors, { separator: '\n' })}\n`,
  );
  process.exit(1);
}
process.stdout.write("azure.yaml fits azd's schema.\n");
