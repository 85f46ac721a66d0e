import { describe, expect, it } from 'vitest';
import { DEFAULT_GATEWAY_LIMITS } from '../../limits.ts';
import { parseOriginChat } from './origin-chat-request.ts';

const keyOf = (messages: readonly object[], more: object = {}): string | null =>
  parseOriginChat({ model: 'lamina-pro', messages, ...more }, DEFAULT_GATEWAY_LIMITS).affinityKey;

const system = { role: 'system', content: 'Be brief.' };
const user = (content: unknown): object => ({ role: 'user', content });

describe('the key of a prefix', () => {
  it('is the same for all turns of a conversation, however its first is written', () => {
    const key = keyOf([system, user('Hi')]);
    expect(key).toMatch(/./);
    expect(keyOf([system, user('Hi'), { role: 'assistant', content: 'Yes?' }, user('Why?')])).toBe(key);
    expect(keyOf([{ ...system, role: 'developer' }, user([{ type: 'text', text: 'Hi' }])])).toBe(key);
  });

  it('is another one for other instructions and for another first message', () => {
    const messages = [[system, user('Hi')], [user('Hi')], [system, user('Ho')], [user('Be brief.Hi')]];
    expect(new Set(messages.map((list) => keyOf(list))).size).toBe(messages.length);
  });

  it('is what the client says, when it does', () => {
    expect(keyOf([user('Hi')], { prompt_cache_key: 'mine' })).toBe('mine');
  });

  it('is none where no user speaks', () => {
    expect(keyOf([system])).toBeNull();
  });
});
