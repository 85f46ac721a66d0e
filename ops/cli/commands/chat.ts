/** `lamina chat`: a conversation in the terminal, or one question from a flag or from standard input. */
import { createInterface, type Interface } from 'node:readline/promises';
import { messageOf, OperatorError } from '../../support/operator-error.ts';
import { type ChatServer, firstModel } from '../chat/chat-client.ts';
import { Conversation } from '../chat/conversation.ts';
import { resolvePort } from '../context.ts';
import { type Paint, painter } from '../ui/style.ts';

export interface ChatFlags {
  readonly home?: string;
  readonly url?: string;
  readonly key: string;
  readonly model?: string;
  readonly temperature?: string;
  readonly system?: string;
  readonly message?: string;
}

const EXIT_INTERRUPTED = 130;

/** Highest temperature of the OpenAI API. */
const TEMPERATURE_MAX = 2;

function parseTemperature(text: string | undefined): number | undefined {
  if (text === undefined) {
    return undefined;
  }
  const temperature = Number(text);
  if (text.trim() === '' || !(temperature >= 0 && temperature <= TEMPERATURE_MAX)) {
    throw new OperatorError('usage', `--temperature needs a number from 0 to ${TEMPERATURE_MAX}, not "${text}".`);
  }
  return temperature;
}

const HELP = [
  '/help           this list',
  '/reset          start a new conversation',
  '/system <text>  set the system message and start anew; without text: remove it',
  '/quit           end (so do Ctrl-D, and Ctrl-C when no answer is being written)',
];

/** Obeys a line that starts with a slash. Returns false when the chat is over. */
function obey(line: string, conversation: Conversation, print: (text: string) => void): boolean {
  const [command = '', ...words] = line.split(' ');
  const rest = words.join(' ').trim();
  switch (command) {
    case '/help':
      HELP.forEach((text) => print(text));
      return true;
    case '/reset':
      conversation.reset();
      print('New conversation.');
      return true;
    case '/system':
      conversation.setSystemMessage(rest === '' ? null : rest);
      print(rest === '' ? 'No system message. New conversation.' : 'System message set. New conversation.');
      return true;
    case '/quit':
    case '/exit':
      return false;
    default:
      print(`There is no command ${command}; /help lists them.`);
      return true;
  }
}

/** Prompts until the input ends. Ctrl-C stops the answer that is being written; without one it ends the chat. */
async function converse(terminal: Interface, conversation: Conversation, paint: Paint): Promise<void> {
  const print = (text: string): void => void process.stdout.write(`${paint('dim', text)}\n`);
  let answering: AbortController | null = null;
  const ended = new Promise<null>((resolve) => {
    terminal.once('close', () => resolve(null));
    terminal.on('SIGINT', () => {
      if (answering === null || answering.signal.aborted) {
        resolve(null);
      }
      answering?.abort();
    });
  });
  for (;;) {
    const line = await Promise.race([terminal.question(paint(['bold', 'cyan'], '› ')), ended]);
    if (line === null) {
      return;
    }
    const text = line.trim();
    if (text.startsWith('/')) {
      if (!obey(text, conversation, print)) {
        return;
      }
    } else if (text !== '') {
      answering = new AbortController();
      // A second Ctrl-C must end the chat even if the server never lets go of the first answer.
      const answer = conversation.ask(text, answering.signal).catch((error: unknown) => {
        process.stderr.write(`${painter(process.stderr)('red', 'error')} ${messageOf(error)}\n`);
      });
      await Promise.race([answer, ended]);
      answering = null;
    }
  }
}

/** Each line of standard input is a message of one conversation. */
async function answerLines(terminal: Interface, conversation: Conversation, signal: AbortSignal): Promise<void> {
  for await (const line of terminal) {
    if (line.trim() !== '' && !signal.aborted) {
      await conversation.ask(line.trim(), signal);
    }
  }
}

export async function chatCommand(flags: ChatFlags): Promise<void> {
  const url = flags.url ?? `http://127.0.0.1:${resolvePort(undefined, process.env)}`;
  const server: ChatServer = { url, key: flags.key };
  const temperature = parseTemperature(flags.temperature);
  const paint = painter(process.stdout);
  const model = flags.model ?? (await firstModel(server));
  const conversation = new Conversation({
    server,
    settings: { model, ...(temperature === undefined ? {} : { temperature }) },
    systemMessage: flags.system ?? null,
    write: (text) => void process.stdout.write(text),
    // Remarks would spoil an answer that is piped into another program.
    remark: (text) => void process.stderr.write(`${text}\n`),
    paint: painter(process.stderr),
    now: () => performance.now(),
  });

  const interrupted = new AbortController();
  const isInteractive = flags.message === undefined && process.stdin.isTTY && process.stdout.isTTY;
  if (!isInteractive) {
    process.once('SIGINT', () => {
      interrupted.abort();
      process.exitCode = EXIT_INTERRUPTED;
    });
  }
  if (flags.message !== undefined) {
    await conversation.ask(flags.message, interrupted.signal);
    return;
  }
  const terminal = createInterface({ input: process.stdin, ...(isInteractive ? { output: process.stdout } : {}) });
  try {
    if (isInteractive) {
      process.stdout.write(`${paint('dim', `${model} at ${url} · /help for commands`)}\n`);
      await converse(terminal, conversation, paint);
      process.stdout.write('\n');
    } else {
      await answerLines(terminal, conversation, interrupted.signal);
    }
  } finally {
    terminal.close();
  }
}
