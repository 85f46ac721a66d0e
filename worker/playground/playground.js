/**
 * The playground: one conversation with one model.
 * @module
 */
import { initialApiKey } from './api-key.js';
import { errorOf, streamChat } from './chat-stream.js';
import { curlBox } from './curl-box.js';

/** Distance from the end, in pixels, within which the log follows the answer. */
const FOLLOW_DISTANCE_PX = 40;

const element = (id) => document.getElementById(id);
const log = element('log');
const form = element('composer');
const prompt = element('prompt');
const send = element('send');
const stop = element('stop');
const status = element('status');
const key = element('key');
const model = element('model');
const showCurl = curlBox(document.querySelector('.terminal'));

/** Finished turns, as the API takes them. */
let turns = [];
/** Set while an answer streams. */
let running = null;

function addMessage(role, text) {
  element('empty')?.remove();
  const message = document.createElement('article');
  message.className = `message ${role}`;
  const heading = document.createElement('div');
  heading.className = 'role';
  heading.textContent = { user: 'You', assistant: model.value, error: 'Error' }[role];
  const body = document.createElement('div');
  body.className = 'text';
  body.textContent = text;
  message.append(heading, body);
  log.append(message);
  log.scrollTop = log.scrollHeight;
  return message;
}

function requestBody() {
  const system = element('system').value.trim();
  return {
    model: model.value,
    messages: [...(system === '' ? [] : [{ role: 'system', content: system }]), ...turns],
    // An empty field is NaN and becomes null, which stands for the model's own.
    temperature: element('temperature').valueAsNumber,
    max_tokens: element('max-tokens').valueAsNumber || 1,
  };
}

/** Streams one answer into a new message. What came before a stop or a failure stays part of the conversation. */
async function answer() {
  const message = addMessage('assistant', '');
  const body = message.querySelector('.text');
  // Screen readers hear the answer when it is whole, not word by word.
  message.setAttribute('aria-busy', 'true');
  const startMs = performance.now();
  let firstMs = null;
  let usage = null;
  try {
    for await (const part of streamChat({ apiKey: key.value, body: requestBody(), signal: running.signal })) {
      usage = part.usage ?? usage;
      if (part.text) {
        firstMs ??= performance.now();
        const isFollowing = log.scrollHeight - log.scrollTop - log.clientHeight < FOLLOW_DISTANCE_PX;
        body.append(part.text);
        if (isFollowing) {
          log.scrollTop = log.scrollHeight;
        }
      }
    }
    status.textContent = speed(startMs, firstMs, usage);
  } catch (error) {
    status.textContent = running.signal.aborted ? 'Stopped.' : '';
    if (!running.signal.aborted) {
      addMessage('error', error.message);
    }
  } finally {
    message.removeAttribute('aria-busy');
    if (body.textContent === '') {
      message.remove();
    }
  }
  return body.textContent;
}

function speed(startMs, firstMs, usage) {
  if (firstMs === null || usage === null) {
    return '';
  }
  const seconds = (performance.now() - firstMs) / 1000;
  // The first token is there when the time starts.
  const perSecond = seconds > 0 ? ((usage.completion_tokens - 1) / seconds).toFixed(1) : '–';
  return `${usage.completion_tokens} tokens, first after ${((firstMs - startMs) / 1000).toFixed(2)} s, then ${perSecond} per second`;
}

async function submit() {
  const text = prompt.value.trim();
  if (text === '' || running !== null) {
    return;
  }
  prompt.value = '';
  running = new AbortController();
  send.disabled = true;
  stop.disabled = false;
  status.textContent = 'Answering …';
  addMessage('user', text);
  // "New chat" may begin another list while this answer streams.
  const conversation = turns;
  conversation.push({ role: 'user', content: text });
  const content = await answer();
  if (content === '') {
    // An unanswered question would stand before the next one; models expect turns to alternate.
    conversation.pop();
    prompt.value ||= text;
  } else {
    conversation.push({ role: 'assistant', content });
  }
  running = null;
  showCommand();
  send.disabled = false;
  stop.disabled = true;
  prompt.focus();
}

async function loadModels() {
  try {
    const response = await fetch('/v1/models', { headers: { authorization: `Bearer ${key.value}` } });
    if (!response.ok) {
      throw await errorOf(response);
    }
    const { data } = await response.json();
    model.replaceChildren(...data.map(modelOption));
    status.textContent = '';
    showCommand();
  } catch (error) {
    status.textContent = key.value === '' ? 'Give an API key to start.' : error.message;
  }
}

/** One that nothing serves can be seen but not chosen. */
function modelOption({ id, tier, available, context_length: contextLength }) {
  const details = [tier, contextLength ? `${contextLength} tokens` : null, available ? null : 'no origin'];
  const option = new Option(`${id} (${details.filter((detail) => detail !== null).join(', ')})`, id);
  option.disabled = !available;
  return option;
}

/** The request that Send would make now. */
function showCommand() {
  const { temperature, ...body } = requestBody();
  const text = prompt.value.trim();
  const messages = [
    ...body.messages,
    ...(text === '' && turns.length > 0 ? [] : [{ role: 'user', content: text || 'Hello' }]),
  ];
  const sent = { ...body, messages, ...(Number.isNaN(temperature) ? {} : { temperature }), stream: true };
  const url = `${location.origin}/v1/chat/completions`;
  showCurl({ url, contentType: 'application/json', body: JSON.stringify(sent), file: 'request.json' });
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void submit();
});
prompt.addEventListener('keydown', (event) => {
  // `isComposing`: Enter also ends the choice of a character in an input method.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    void submit();
  }
});
stop.addEventListener('click', () => running?.abort());
key.addEventListener('change', () => void loadModels());
for (const field of [element('settings'), form]) {
  field.addEventListener('input', showCommand);
}
element('new-chat').addEventListener('click', () => {
  running?.abort();
  turns = [];
  log.replaceChildren();
  status.textContent = '';
  showCommand();
  prompt.focus();
});

key.value = initialApiKey();
void loadModels();
