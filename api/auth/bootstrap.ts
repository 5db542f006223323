import type { Config } from '../../config/config';
import { AppError } from '../../errors/app-error';
import type { Sql } from '../../storage/postgres/client';
import { replaceToken, revokeToken } from '../../storage/postgres/tokens';
import { NODE_PERMISSIONS, USER_PERMISSIONS } from './permissions';
import { hashToken, parseToken } from './tokens';

/**
 * Stores the tokens that the environment names, so that a new installation has a first user and
 * a first node. A changed variable replaces its token, a missing one revokes it. CONFIG_INVALID for a text that is not a token of the right kind.
 */
export async function bootstrapTokens(
  postgres: Sql,
  config: Pick<Config, 'ANNEAL_NODE_TOKEN' | 'ANNEAL_ADMIN_TOKEN'>,
): Promise<void> {
  const rows = [
    { variable: 'ANNEAL_NODE_TOKEN', kind: 'node', name: 'node', permissions: NODE_PERMISSIONS },
    { variable: 'ANNEAL_ADMIN_TOKEN', kind: 'user', name: 'admin', permissions: USER_PERMISSIONS },
  ] as const;
  for (const { variable, kind, name, permissions } of rows) {
    const text = config[variable];
    if (text === undefined) {
      await revokeToken(postgres, variable);
      continue;
    }
    if (parseToken(text)?.kind !== kind) {
      const advice = `make one with: anneal token ${kind}`;
      throw new AppError('CONFIG_INVALID', `${variable} is not a ${kind} token; ${advice}.`);
    }
    await replaceToken(postgres, variable, {
      projectId: 'default',
      kind,
      hash: hashToken(text),
      name,
      permissions: [...permissions],
    });
  }
}
