import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Config, parseConfig } from '../../config/config';

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly user?: string;
  readonly environment?: Readonly<Record<string, string>>;
}
const text = readFileSync(join(__dirname, '../../docker-compose.temporal.yml'), 'utf8');
const { services } = parse(text, { merge: true }) as { services: Record<string, Service> };
const OURS = ['api', 'control-worker', 'step-worker'];

/** The file's variables as a person would set them. */
function filled(service: Service): Record<string, string> {
  const entries = Object.entries(service.environment ?? {});
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      value.replace(/\$\{\w+:\?\}/g, 'x'.repeat(40)).replace(/\$\{\w+:-\}/g, ''),
    ]),
  );
}

describe('docker-compose.temporal.yml', () => {
  it('holds every part of the production table', () => {
    const expected = ['postgres', 'temporal', 'temporal-ui', 'clickhouse', 's3', ...OURS];
    expect(Object.keys(services).sort()).toEqual([...expected].sort());
  });

  it('pins every image to a full version', () => {
    const loose = Object.values(services)
      .map((service) => service.image)
      .filter((image) => !/:v?\d+\.\d+[\w.-]*$/.test(image));
    expect(loose).toEqual([]);
  });

  it.each(OURS)('gives %s only variables that config/ knows, with valid values', (name) => {
    const environment = filled(services[name] as Service);
    const unknown = Object.keys(environment).filter((key) => !(key in Config.shape));
    expect(unknown).toEqual([]);
    expect(() => parseConfig(environment)).not.toThrow();
  });

  it('starts programs that the build makes', () => {
    const built = OURS.flatMap((name) => services[name]?.command ?? []).filter((word) =>
      word.endsWith('.js'),
    );
    expect(built).toHaveLength(4);
    const missing = built.filter((file) => {
      const source = file.replace(/^(\.\/)?dist\//, '').replace(/\.js$/, '.ts');
      return !existsSync(join(__dirname, '../..', source));
    });
    expect(missing).toEqual([]);
  });

  it('gives the step worker no database and no bucket', () => {
    const names = Object.keys(services['step-worker']?.environment ?? {});
    expect(names.filter((n) => /^(S3_|DATABASE_|CLICKHOUSE_|ANNEAL_SIGNING)/.test(n))).toEqual([]);
  });

  it('runs steps as another user than the worker, which may change it', () => {
    const worker = services['step-worker'];
    expect(worker?.user).toBe('0:0');
    expect(parseConfig(filled(worker as Service)).ANNEAL_STEP_USER).toEqual({
      uid: 1000,
      gid: 1000,
    });
  });

  it('publishes ports on loopback only', () => {
    const published = [...text.matchAll(/ports: \['([^']+)'\]/g)].map((match) => match[1] ?? '');
    expect(published.length).toBeGreaterThan(0);
    expect(published.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });
});
