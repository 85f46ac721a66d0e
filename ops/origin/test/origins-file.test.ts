import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { secretNames } from '../attached-origins.ts';
import { type DeployedOrigins, readOriginsFile } from '../origins-file.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lamina-origins-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const MODELS = [{ public: 'lamina-pro', upstream: 'glm-4.6', capabilities: ['chat'] }];
const VPC = { id: 'a', transport: 'vpc', binding: 'ORIGIN_A', url: 'http://vllm.internal:8000', models: MODELS };
const MTLS = { id: 'b', transport: 'mtls', binding: 'CERT_B', url: 'https://gpu.example.com', models: MODELS };
const SERVICES = [{ binding: 'ORIGIN_A', service_id: 'service-1' }];

const read = async (value: unknown): Promise<DeployedOrigins> => {
  const file = path.join(folder, 'origins.json');
  await writeFile(file, typeof value === 'string' ? value : JSON.stringify(value));
  return readOriginsFile(file);
};

describe('readOriginsFile', () => {
  it('gives the variable and the bindings', async () => {
    const { origins, bindings } = await read({
      origins: [VPC, MTLS],
      vpc_services: SERVICES,
      mtls_certificates: [{ binding: 'CERT_B', certificate_id: 'certificate-1' }],
    });
    expect(origins.map((origin) => origin.id)).toEqual(['a', 'b']);
    expect(bindings).toEqual({
      vpc_services: [{ binding: 'ORIGIN_A', service_id: 'service-1', remote: true }],
      mtls_certificates: [{ binding: 'CERT_B', certificate_id: 'certificate-1' }],
    });
  });

  it('has no bindings where no transport needs one', async () => {
    const { bindings } = await read({ origins: [{ ...MTLS, transport: 'url', binding: undefined }] });
    expect(bindings).toEqual({});
  });

  it.each([
    ['{', 'JSON'],
    [{ origins: [] }, 'origins'],
    [{ origins: [VPC], vpc_services: SERVICES, keys: {} }, 'keys'],
    [{ origins: [{ ...VPC, url: 'vllm.internal' }], vpc_services: SERVICES }, 'url'],
    [{ origins: [VPC] }, `the binding ORIGIN_A, which is not in "vpc_services"`],
    [{ origins: [MTLS], vpc_services: SERVICES }, `the binding CERT_B, which is not in "mtls_certificates"`],
    [{ origins: [{ ...MTLS, transport: 'url', binding: undefined }], vpc_services: SERVICES }, 'no origin uses'],
    [{ origins: [{ ...VPC, transport: 'url', binding: undefined }] }, 'private address'],
    [{ origins: [{ ...VPC, url: 'http://127.0.0.1:8000', transport: 'url', binding: undefined }] }, 'private address'],
  ])('refuses %j', async (value, named) => {
    await expect(read(value)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(named) as string,
    });
  });

  it('says which file is missing', async () => {
    await expect(readOriginsFile('/nowhere/origins.json')).rejects.toThrow('/nowhere/origins.json');
  });
});

describe('secretNames', () => {
  it('names each secret once', async () => {
    const origin = { ...MTLS, transport: 'access', binding: undefined };
    const credentials = { apiKeySecret: 'KEY', accessClientIdSecret: 'ID', accessClientSecretSecret: 'SECRET' };
    const { origins } = await read({
      origins: [
        { ...origin, credentials },
        { ...origin, id: 'c', credentials },
      ],
    });
    expect(secretNames(origins)).toEqual(['KEY', 'ID', 'SECRET']);
  });
});
