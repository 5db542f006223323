/**
 * The engine beside Prefect, Metaflow and Dagster, by turns, with steps that do nothing:
 *   npm run bench -- peers [--python PATH] [--chain 100] [--fan 1000] [--processes 100] [--times 1]
 * Of each, what `PATH` can import (`pip install prefect metaflow dagster`); the programs stand in
 * bench/peers. A run counts from its start to its end, without the start of interpreters and servers.
 * "in process": our built-in steps beside Prefect's tasks (threads) and Dagster's in-process executor;
 * "a process each": our `true` beside Metaflow's tasks and Dagster's multiprocess executor, `--processes`
 * of them in the fan (of a thousand, Dagster alone takes most of an hour on two cores).
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createHttp, type Http } from '../sdk/http';
import { buildOnce, startDev } from '../tests/support/dev-stack';
import { ROOT } from './npm-script';
import { printRows, type Figure } from './report';
import { runToEnd } from './runs';
import { chainOf, fanOf } from './shapes';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    chain: { type: 'string', default: '100' },
    fan: { type: 'string', default: '1000' },
    processes: { type: 'string', default: '100' },
    times: { type: 'string', default: '1' },
  },
});
const WAITING = { pollMs: 20, timeoutMs: 3_600_000 } as const;
const SLOTS = 8; // as many processes at once as the others may have
const command = 'npm run bench -- peers';

type Shape = 'chain' | 'fan';
type Kind = 'in process' | 'a process each';
interface Peer {
  readonly name: string;
  readonly kind: Kind;
  readonly flags: readonly string[];
}
const PEERS: readonly Peer[] = [
  { name: 'prefect', kind: 'in process', flags: [] },
  { name: 'dagster', kind: 'in process', flags: [] },
  { name: 'metaflow', kind: 'a process each', flags: [] },
  { name: 'dagster', kind: 'a process each', flags: ['processes'] },
];

/** Whether the interpreter has it, and which version. */
function versionOf(name: string): string | undefined {
  const code = `import importlib.metadata as m; print(m.version('${name}'))`;
  const { status, stdout } = spawnSync(values.python, ['-c', code], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

function lengthOf(shape: Shape, kind: Kind): number {
  if (shape === 'chain') return Number(values.chain);
  return Number(kind === 'in process' ? values.fan : values.processes);
}

/** Seconds of one run of the peer, in a folder of its own. */
function runPeer({ name, kind, flags }: Peer, shape: Shape): number {
  const folder = mkdtempSync(join(tmpdir(), 'anneal-bench-peers-'));
  const args = [
    join(ROOT, `bench/peers/${name}_run.py`),
    shape,
    String(lengthOf(shape, kind)),
    ...flags,
  ];
  const env = {
    ...process.env,
    USERNAME: 'bench',
    DAGSTER_HOME: join(folder, 'dagster'),
    DAGSTER_DISABLE_TELEMETRY: '1',
    PREFECT_HOME: join(folder, 'prefect'),
    PREFECT_LOGGING_LEVEL: 'ERROR',
    PREFECT_SERVER_ANALYTICS_ENABLED: 'false',
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: '300',
  };
  const options = { cwd: folder, env, encoding: 'utf8', maxBuffer: 2 ** 30 } as const;
  const { status, stdout, stderr } = spawnSync(values.python, args, options);
  rmSync(folder, { recursive: true, force: true });
  if (status !== 0) throw new Error(`${name} ${shape}: ${status ?? '?'}\n${stderr.slice(-3000)}`);
  return Number(stdout.trim().split('\n').at(-1));
}

async function runOurs(http: Http, shape: Shape, kind: Kind): Promise<number> {
  const what = kind === 'in process' ? { uses: 'builtin/nothing' } : { argv: ['true'] };
  const shaped = shape === 'chain' ? chainOf : fanOf;
  return (await runToEnd(http, shaped(lengthOf(shape, kind), what), WAITING)).wall;
}

/** Ours and those of the peers that are installed, by turns; then how many times longer they took. */
async function compare(http: Http, shape: Shape, kind: Kind): Promise<Figure[]> {
  const peers = PEERS.filter((peer) => peer.kind === kind && versionOf(peer.name) !== undefined);
  const ours: number[] = [];
  const theirs = peers.map((): number[] => []);
  for (let i = 0; i < Number(values.times); i += 1) {
    ours.push(await runOurs(http, shape, kind));
    for (const [at, peer] of peers.entries()) theirs[at]?.push(runPeer(peer, shape));
  }
  const what = `${shape} of ${lengthOf(shape, kind)} steps, ${kind}`;
  return [
    { what: `${what}: ours`, unit: 's', samples: ours, command },
    ...peers.flatMap(({ name }, at): Figure[] => {
      const samples = theirs[at] ?? [];
      const ratios = samples.map((s, i) => s / (ours[i] ?? NaN));
      const whose = `${what}: ${name} ${versionOf(name) ?? ''}`;
      return [
        { what: whose, unit: 's', samples, command },
        { what: `${whose} ÷ ours`, unit: '×', samples: ratios, command },
      ];
    }),
  ];
}

async function main(): Promise<void> {
  buildOnce();
  const dev = startDev(['--ephemeral', '--port', '0'], { ANNEAL_SLOTS: String(SLOTS) });
  try {
    const { api } = await dev.ready;
    const http = createHttp({ baseUrl: api });
    await runToEnd(http, chainOf(20), WAITING); // the first builds caches
    const figures: Figure[] = [];
    for (const kind of ['in process', 'a process each'] as const) {
      for (const shape of ['chain', 'fan'] as const) {
        figures.push(...(await compare(http, shape, kind)));
      }
    }
    printRows(figures);
  } finally {
    dev.child.kill('SIGINT');
    await dev.ended;
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
