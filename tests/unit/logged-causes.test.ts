import fastify from 'fastify';
import { sendError } from '../../api/errors';
import { AppError } from '../../errors/app-error';

describe('the log of the api', () => {
  it('says what lies behind a failure of our own making', async () => {
    const lines: Record<string, unknown>[] = [];
    const app = fastify();
    const cause = new Error('update failed', { cause: new Error('scope cancelled') });
    app.get('/', (request, reply) => {
      const error = new AppError('INTERNAL', 'It failed.', { cause });
      return sendError({ error, request, reply }, (line) => lines.push(line));
    });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    expect((await fetch(url)).status).toBe(500);
    await app.close();
    const [line] = lines;
    expect(line?.['stack']).toMatch(
      /^Error: update failed\n[^]*\ncaused by Error: scope cancelled\n/,
    );
  });
});
