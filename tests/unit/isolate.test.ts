import { join } from 'node:path';
import { build } from 'esbuild';

/** What workflows import of dag/: it must run where there is no Node and no package. */
const IN_ISOLATE = ['expressions', 'ready-queue', 'scope', 'template', 'expand', 'builtins'];

describe('dag in the workflow isolate', () => {
  it.each(IN_ISOLATE)('%s brings along nothing but our own pure files', async (name) => {
    const { metafile } = await build({
      entryPoints: [join(__dirname, `../../dag/${name}.ts`)],
      bundle: true,
      write: false,
      metafile: true,
      platform: 'node', // else an import of Node would be an error without a name
      packages: 'external',
      logLevel: 'silent',
    });
    const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
    expect(imports.filter(({ external }) => external).map(({ path }) => path)).toEqual([]);
    const files = Object.keys(metafile.inputs).filter((path) => !/(^|\/)(dag|errors)\//.test(path));
    expect(files).toEqual([]);
  });
});
