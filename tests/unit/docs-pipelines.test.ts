import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { validatePlan } from '../../dag/validate';
import { StartPipelineRun } from '../../schemas/pipeline-runs';
import { loadPipeline } from '../../sdk/load-pipeline';
import { PipelineFile } from '../../sdk/pipeline-schema';
import { compileYaml } from '../../sdk/pipeline-yaml';

/** Everything that docs/pipelines.md shows is compiled as its readers would do it. */
const ROOT = join(__dirname, '../..');
const EXAMPLES = join(ROOT, 'examples');
const PAGE = readFileSync(join(ROOT, 'docs/pipelines.md'), 'utf8');

function blocks(language: string): string[] {
  const fence = new RegExp('^```' + language + '\\n(.*?)^```$', 'gms');
  return [...PAGE.matchAll(fence)].map((match) => match[1] ?? '');
}
/** A part of a file stands for the file around it. */
function whole(yaml: string): string {
  return /^version: 1$/m.test(yaml) ? yaml : `version: 1\nname: shown\n${yaml}`;
}

describe('docs/pipelines.md', () => {
  const shown = blocks('yaml').map((yaml, i) => {
    const refusal = /^# refused: (.*)$/m.exec(yaml)?.[1];
    return { number: i + 1, text: whole(yaml), refusal };
  });

  it.each(shown.filter(({ refusal }) => refusal === undefined))(
    'shows YAML that compiles and fits the schema (block $number)',
    ({ text }) => {
      expect(() => compileYaml(text)).not.toThrow();
      expect(PipelineFile.safeParse(parse(text))).toMatchObject({ success: true });
    },
  );

  it.each(shown.filter(({ refusal }) => refusal !== undefined))(
    'shows YAML that is refused in the words it says (block $number)',
    ({ text, refusal }) => {
      expect(() => compileYaml(text)).toThrow(refusal);
    },
  );

  it('shows a body that the api takes', () => {
    const [body = ''] = blocks('json');
    expect(validatePlan(StartPipelineRun.parse(JSON.parse(body)).plan)).toEqual([]);
  });

  it('shows the TypeScript of the example as it is', () => {
    const folder = join(EXAMPLES, '03-typescript');
    const files = readdirSync(folder).filter((name) => name.endsWith('.ts'));
    const texts = files.map((name) => readFileSync(join(folder, name), 'utf8'));
    expect(blocks('ts').sort()).toEqual(texts.sort());
  });
});

describe('examples', () => {
  const files = readdirSync(EXAMPLES, { recursive: true, encoding: 'utf8' });
  it.each(files.filter((name) => /(^|\/)pipeline\.(ts|yaml)$/.test(name)))(
    '%s is a pipeline',
    async (name) => {
      const plan = await loadPipeline(join(EXAMPLES, name));
      expect(plan.steps.map((step) => step.name)).toContain('train');
    },
  );
});
