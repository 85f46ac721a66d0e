/**
 * The file of `lamina deploy --origins`: the origins, as the gateway's variable `ORIGINS` has them, and the bindings that
 * they are reached by, as wrangler has them. No secret is in it.
 */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { type OriginConfig, parseOrigins } from '../../worker/origin/origin-config.ts';
import { messageOf, OperatorError } from '../support/operator-error.ts';

const bindingName = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'must be the name of a binding, such as ORIGIN_A');

const fileSchema = z.strictObject({
  $schema: z.string().optional(),
  /** Checked by `parseOrigins`. */
  origins: z.array(z.unknown()).min(1),
  vpc_services: z.array(z.strictObject({ binding: bindingName, service_id: z.string().min(1) })).default([]),
  mtls_certificates: z.array(z.strictObject({ binding: bindingName, certificate_id: z.string().min(1) })).default([]),
});

/** Part of a wrangler configuration. */
export interface OriginBindings {
  readonly vpc_services?: readonly { readonly binding: string; readonly service_id: string; readonly remote: true }[];
  readonly mtls_certificates?: readonly { readonly binding: string; readonly certificate_id: string }[];
}

export interface DeployedOrigins {
  readonly origins: readonly OriginConfig[];
  readonly bindings: OriginBindings;
}

function invalid(file: string, problem: string): OperatorError {
  return new OperatorError(
    'usage',
    `The origins file ${file} is not valid: ${problem}`,
    'docs/origins.md describes the file, with an example for each transport.',
  );
}

/** Hosts that only this machine, or its network, reaches. */
const PRIVATE_HOST =
  /^(localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|\[::1\]|\[f[cd])|\.(internal|local|lan)$/i;

/** Every origin has its binding, every binding has its origin, and no origin is out of the reach of its transport. */
function checkBindings(file: string, origins: readonly OriginConfig[], parsed: z.infer<typeof fileSchema>): void {
  const names = {
    vpc: parsed.vpc_services.map((entry) => entry.binding),
    mtls: parsed.mtls_certificates.map((entry) => entry.binding),
  };
  for (const { id, transport, binding, url } of origins) {
    if ((transport === 'vpc' || transport === 'mtls') && !names[transport].includes(binding ?? '')) {
      const list = transport === 'vpc' ? 'vpc_services' : 'mtls_certificates';
      throw invalid(file, `the origin '${id}' uses the binding ${String(binding)}, which is not in "${list}"`);
    }
    if (transport !== 'vpc' && PRIVATE_HOST.test(new URL(url).hostname)) {
      throw invalid(
        file,
        `the origin '${id}' has a private address, ${url}; only the transport 'vpc' reaches it from Cloudflare`,
      );
    }
  }
  const used = new Set(origins.map((origin) => origin.binding));
  const unused = [...names.vpc, ...names.mtls].find((name) => !used.has(name));
  if (unused !== undefined) {
    throw invalid(file, `no origin uses the binding ${unused}`);
  }
}

/** @throws OperatorError `usage` naming the field that is wrong. */
export async function readOriginsFile(file: string): Promise<DeployedOrigins> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw invalid(file, messageOf(error));
  }
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) {
    throw invalid(file, z.prettifyError(parsed.error));
  }
  let origins: readonly OriginConfig[];
  try {
    origins = parseOrigins(parsed.data.origins);
  } catch (error) {
    throw invalid(file, messageOf(error));
  }
  checkBindings(file, origins, parsed.data);
  const { vpc_services: services, mtls_certificates: certificates } = parsed.data;
  return {
    origins,
    bindings: {
      // A VPC Service exists at Cloudflare alone, so that `wrangler dev` reaches it there too.
      ...(services.length === 0
        ? {}
        : { vpc_services: services.map((entry) => ({ ...entry, remote: true as const })) }),
      ...(certificates.length === 0 ? {} : { mtls_certificates: certificates }),
    },
  };
}
