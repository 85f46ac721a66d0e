import { afterEach, describe, expect, it, vi } from 'vitest';
import { answerSummary } from '../chat/conversation.ts';
import { type FakeChatOptions, type FakeChatServer, startChatServer } from './chat-server.ts';
import { startLamina } from './run-lamina.ts';

const servers: FakeChatServer[] = [];
const serve = async (options: FakeChatOptions = {}): Promise<FakeChatServer> => {
  const server = await startChatServer(options);
  servers.push(server);
  return server;
};
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

describe('lamina chat', () => {
  it('answers one message on standard output, and says how fast on standard error', async () => {
    const server = await serve();
    const { code, stdout, stderr } = await startLamina(['chat', '--url', server.url, '--message', 'Hi']).ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Hello wörld\n' });
    expect(stderr).toMatch(/^2 tokens · .*first after \d+ ms\n$/);
    expect(server.requests).toMatchObject([{ model: 'first-model', messages: [{ role: 'user', content: 'Hi' }] }]);
    // The model knows best, unless somebody says.
    expect(server.requests[0]).not.toHaveProperty('temperature');
  });

  it('passes the temperature on that is asked for, and refuses one that is none', async () => {
    const server = await serve();
    const args = ['chat', '--url', server.url, '--message', 'Hi', '--temperature'];
    expect((await startLamina([...args, '0.7']).ended).code).toBe(0);
    expect(server.requests).toMatchObject([{ temperature: 0.7 }]);
    expect(await startLamina([...args, '3']).ended).toMatchObject({
      code: 2,
      stderr: 'error --temperature needs a number from 0 to 2, not "3".\n',
    });
  });

  it('holds one conversation over the lines of standard input', async () => {
    const server = await serve();
    const args = ['chat', '--url', `${server.url}/v1/`, '--model', 'second-model', '--system', 'Be brief.'];
    const { code, stdout } = await startLamina(args, { stdin: 'One\n\nTwo\n' }).ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Hello wörld\nHello wörld\n' });
    expect(server.requests[1]).toMatchObject({
      model: 'second-model',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'One' },
        { role: 'assistant', content: 'Hello wörld' },
        { role: 'user', content: 'Two' },
      ],
    });
  });

  it('prints tokens as they come, and Ctrl-C ends the request', async () => {
    const server = await serve({ pieces: ['Once'], hangs: true });
    const run = startLamina(['chat', '--url', server.url, '--message', 'Tell me a story']);
    await vi.waitFor(() => expect(run.stdout()).toBe('Once'), { timeout: 10_000 });
    run.child.kill('SIGINT');
    await server.clientLeft;
    expect(await run.ended).toMatchObject({ code: 130, stdout: 'Once\n', stderr: 'stopped\n' });
  });

  it('says what the server refused', async () => {
    const server = await serve();
    const args = ['chat', '--url', server.url, '--key', 'sk-wrong', '--message', 'Hi'];
    expect(await startLamina(args).ended).toMatchObject({ code: 1, stderr: 'error The key is wrong. (HTTP 401)\n' });
  });

  it('says what to do when nothing answers', async () => {
    const { code, stderr } = await startLamina(['chat', '--message', 'Hi'], { env: { PORT: '1' } }).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error http:\/\/127\.0\.0\.1:1 does not answer: .*\nStart the platform with "npm start"/);
  });
});

describe('answerSummary', () => {
  it('counts the rate from the first token on', () => {
    const end = { finishReason: 'length', completionTokens: 11 };
    expect(answerSummary(end, 1000, 1250, 2250)).toBe(
      '11 tokens · 10.0 tok/s · first after 250 ms · cut at the token limit',
    );
  });
});
