import fc from 'fast-check';
import { readdirSync } from 'node:fs';
import { newRun, startArtifactLab } from '../support/artifacts';
import type { ArtifactLab } from '../support/artifacts';

const PREFIXES = ['/api/2.0/mlflow-artifacts', '/ajax-api/2.0/mlflow-artifacts'];
let lab: ArtifactLab;
let folder: string;

beforeAll(async () => {
  lab = await startArtifactLab();
  ({ folder } = await newRun(lab, 'default'));
});
afterAll(() => lab.close());

/** Tricks as they stand in a request line, behind a folder that may be written. */
const TRICKS = [
  '..', '../..', '../../../../etc/passwd', 'a/../../b', '.', './a', 'a/.', '/etc/passwd', '//a', 'a//b', 'a/',
  '%2e%2e', '%2e%2e/%2e%2e/a', '..%2f..%2fa', '%2fetc%2fpasswd', '%252e%252e', '%252e%252e%252fa',
  '%25252e%25252e/a', '..%255c..', '%5c..%5c', 'a%5cb', '..%00', 'a%00b', 'a%0d%0ab', 'a%23b', 'a;b', '..;/a',
  '%3b/../a', '%2e%2e%2f%25', '%20../a', 'a/%2e%2e%20/b',
]; // prettier-ignore

describe.each(PREFIXES)('traversal at %s', (prefix) => {
  it.each(TRICKS)('is refused: %s', async (trick) => {
    for (const method of ['PUT', 'GET', 'DELETE']) {
      for (const path of [`${folder}/${trick}`, `${folder.split('/')[0] ?? ''}/models/m/${trick}`]) {
        const reply = await lab.call(method, `${prefix}/artifacts/${path}`);
        const body = { error_code: 'INVALID_PARAMETER_VALUE', message: 'Invalid path' };
        expect({ method, status: reply.status, body: reply.json() }).toEqual({ method, status: 400, body });
      }
    } // prettier-ignore
    const listed = await lab.call('GET', `${prefix}/artifacts?path=${folder}/${trick}`);
    // in a query a '#' of its own would end the address; encoded it is refused like the others
    expect([trick, listed.status]).toEqual([trick, 400]);
  });
});

it('never fails by its own fault, and stores nothing outside, whatever the path', async () => {
  const part = fc.oneof(
    fc.constantFrom('..', '.', '%2e%2e', '%252e', '%2f', '%5c', '%00', '%', '%ff', '%c0%ae', ';', 'a', ''),
    fc.constantFrom(...folder.split('/')),
    fc.webPath({ size: 'small' }),
  ); // prettier-ignore
  const method = fc.constantFrom('PUT', 'GET', 'DELETE');
  const call = fc.record({ method, parts: fc.array(part, { maxLength: 8 }), inside: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(call, async ({ method, parts, inside }) => {
      const path = [...(inside ? [folder] : []), ...parts].join('/');
      const body = method === 'PUT' ? { body: 'bytes' } : {};
      const reply = await lab.call(method, `${PREFIXES[0] ?? ''}/artifacts/${path}`, body);
      expect([200, 400, 404]).toContain(reply.status);
    }),
    { numRuns: 400 },
  );
  const sql = 'SELECT path FROM artifact_files';
  const paths = (await lab.db.postgres.query<{ path: string }>(sql)).map((row) => row.path);
  const allowed = new RegExp(`^(${folder}|\\d+/models/[^/]+)/.`);
  expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
  const known = ['.incoming', 'default'];
  expect(readdirSync(lab.root).filter((name) => !known.includes(name))).toEqual([]);
});
