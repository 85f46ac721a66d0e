/** Origins as they are handed to the gateway: the variable `ORIGINS`, and the secrets that it names. */
import type { OriginConfig } from '../../worker/origin/origin-config.ts';
import type { Topology } from '../plan/topology.ts';

export interface AttachedOrigins {
  readonly origins: readonly OriginConfig[];
  /** Values of the secrets by the names that `origins` uses. */
  readonly secrets: Readonly<Record<string, string>>;
}

export const NO_ORIGINS: AttachedOrigins = { origins: [], secrets: {} };

/** Names of all secrets that the origins' credentials need. */
export function secretNames(origins: readonly OriginConfig[]): string[] {
  const names = origins.flatMap(({ credentials }) => Object.values(credentials));
  return [...new Set(names.filter((name) => name !== undefined))];
}

/** The topology with the gateway knowing its origins. */
export function withOrigins(topology: Topology, { origins, secrets }: AttachedOrigins): Topology {
  if (origins.length === 0) {
    return topology;
  }
  const variables = { ...topology.gateway.variables, ORIGINS: JSON.stringify(origins), ...secrets };
  return { ...topology, gateway: { ...topology.gateway, variables } };
}
