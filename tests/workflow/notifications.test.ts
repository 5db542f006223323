import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getPipelineRun } from '../../pipelines/pipeline-runs';
import { listSteps } from '../../pipelines/step-reasons';
import { compileYaml } from '../../sdk/pipeline-yaml';
import { findStep } from '../../storage/postgres/steps';
import {
  openWorkflowLab,
  stepFailure,
  type StepBody,
  type WorkflowLab,
} from '../support/workflow-lab';

const projectId = 'default';
let lab: WorkflowLab;
beforeAll(async () => {
  lab = await openWorkflowLab();
});
afterAll(() => lab.close());
const fail: StepBody = () => Promise.reject(stepFailure('data', 'no such table'));

describe('builtin/notify', () => {
  let receiver: Server;
  let url: string;
  let got: { body: unknown; key: string | undefined }[];
  let answers: number[];
  beforeAll(async () => {
    receiver = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        const key = request.headers['idempotency-key'];
        got.push({ body: JSON.parse(text), key: String(key) });
        response.writeHead(answers.shift() ?? 204).end();
      });
    }).listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
  });
  afterAll(() => {
    receiver.close();
  });
  beforeEach(() => {
    got = [];
    answers = [];
  });
  const plan = (to: string, message = ''): ReturnType<typeof compileYaml> =>
    compileYaml(`
version: 1
name: p
steps: { a: { run: work, retry: { max: 0 } } }
on_failure: [{ uses: builtin/notify, with: { url: "${to}"${message} } }]
`);

  it('tells a URL how the run ended, again while it is not taken', async () => {
    lab.bodies = { a: fail };
    answers = [503, 429];
    const { runId } = await lab.run(plan(url));
    const { reason } = await getPipelineRun(lab.database, { projectId, id: runId });
    const text = `p: run ${runId} failed: ${reason ?? ''}`;
    const body = { text, project: 'default', pipeline: 'p', run: runId, step: 'on_failure.notify' };
    const one = {
      body: { ...body, status: 'failed', reason },
      key: `${runId}/on_failure.notify`,
    };
    expect(got).toEqual([one, one, one]);
    const key = { projectId, runId, stepKey: 'on_failure.notify' };
    const step = await findStep(lab.database.postgres, key);
    expect(step).toMatchObject({ status: 'succeeded', outputs: { message: { value: text } } });
  });

  it('sends a message of its own', async () => {
    lab.bodies = { a: fail };
    await lab.run(plan(url, ', message: "it has ${{ run.status }}"'));
    expect(got).toMatchObject([{ body: { text: 'it has failed' } }]);
  });

  it.each([
    ['a refusal, at once', [404], '', 'it answered 404', 1],
    ['a receiver that is down', [500, 502, 503], '', 'it answered 503, 3 times', 3],
    ['a redirect', [302], '', 'it answered 302', 1],
    ['a private address', [], 'http://127.0.0.2:1/x', '127.0.0.2 is a private address', 0],
    ['a name of one', [], 'http://localhost:1/x', 'localhost is a private address', 0],
    ['a login', [], 'http://ada:pw@127.0.0.1/x', 'holds a login', 0],
  ] as const)('fails on %s, and the run ends as it would', async (...row) => {
    const [, given, to, why, tries] = row;
    lab.bodies = { a: fail };
    answers = [...given];
    const { runId, status } = await lab.run(plan(to === '' ? url : to));
    expect(status).toBe('failed');
    const steps = await listSteps(lab.database, { projectId, runId });
    const told = steps.find(({ key }) => key === 'on_failure.notify');
    expect(told?.status).toBe('failed');
    expect(told?.reason).toContain(why);
    expect(got).toHaveLength(tries);
  });

  it('without a URL keeps the message with its step', async () => {
    const bare = 'version: 1\nname: p\nsteps: { n: { uses: builtin/notify } }\n';
    const { outputs, runId } = await lab.run(compileYaml(bare));
    expect(outputs).toEqual({ n: { message: { value: `p: run ${runId} has come to n` } } });
  });
});
