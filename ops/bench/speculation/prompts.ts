/**
 * Prompts of the speculation bench. The first kind is completed by repeating parts of the prompt, as extraction, quoting
 * and correction do; the second is ordinary talk, where little repeats and drafts could only cost time.
 */

const LEASE =
  'The tenant shall pay the rent of 940 euros in advance on the first working day of each month to the account named by the ' +
  'landlord. The landlord shall keep the roof, the outer walls and the heating in good repair. The tenant may keep one cat, but ' +
  'no dog. Either party may end this agreement by giving three months notice in writing.';
const DELIVERY =
  'Order 58213 was placed on 4 March by Ines Carvalho. It holds two oak shelves, one brass lamp and a set of six linen napkins. ' +
  'The parcel left the warehouse in Porto on 6 March and was handed to the carrier at 14:20. The customer asked for delivery to ' +
  'the bakery next door, because nobody is at home before six in the evening.';
const HARBOUR =
  'The old harbour of Brenwick was built in 1847 by fishermen who had lost their boats in the great storm of the winter before. ' +
  'They carried granite blocks from the quarry at Saint Orla and set them by hand at low tide. The lighthouse was added eleven ' +
  'years later, and its lamp could be seen from a distance of nineteen miles.';
const RECIPE =
  'Melt the butter in a heavy pan over a low flame. Stir in the chopped leeks and cook them slowly until they are soft but not ' +
  'brown. Add the diced potatoes, the chicken stock and a bay leaf, and let everything simmer for twenty five minutes. Take out ' +
  'the bay leaf, blend the soup until it is smooth, and finish it with cream and grated nutmeg.';
const LOG =
  '09:14:02 gateway started on port 8080\n09:14:07 connected to database orders_main in 41 ms\n' +
  '09:15:33 warning: retrying payment 7731 after timeout of the card processor\n' +
  '09:15:41 payment 7731 accepted by the card processor on the second attempt\n' +
  '09:16:00 nightly export of 1204 invoices written to /var/exports/invoices.csv\n09:16:09 gateway idle';
const CODE =
  'function totalPrice(items) {\n  let total = 0;\n  for (const item of items) {\n    total += item.price * item.quantity;\n' +
  '  }\n  return total;\n}\n\nfunction averagePrice(items) {\n  return totalPrice(items) / items.length;\n}';

/** An example of the task first: a small model does what it has just seen done. */
function afterExample(task: string, example: readonly [input: string, output: string], input: string): string {
  return `${task}\n\nText:\n${example[0]}\nAnswer:\n${example[1]}\n\nText:\n${input}\nAnswer:\n`;
}

const REPEAT = [
  'The red bicycle stood in front of the town hall.',
  'The red bicycle stood in front of the town hall.',
] as const;
const CORRECT = ['She go to the market evry Tuesday.', 'She goes to the market every Tuesday.'] as const;
const QUOTE = [
  'The museum opens at ten. Children under twelve enter free of charge. Bags must be left at the entrance.',
  'The rule about children: "Children under twelve enter free of charge."\nThe rule about bags: "Bags must be left at the entrance."',
] as const;
const FIELDS = [
  'Mr Adam Lowe of Kestrel Street asked for a new key to the garden gate.',
  '{"sentence": "Mr Adam Lowe of Kestrel Street asked for a new key to the garden gate.", "name": "Adam Lowe"}',
] as const;
const LIST = [
  'The box holds a hammer. It also holds a saw. There is a tin of nails.',
  '1. The box holds a hammer.\n2. It also holds a saw.\n3. There is a tin of nails.',
] as const;

const TEXTS = [LEASE, DELIVERY, HARBOUR, RECIPE] as const;

/** Twenty prompts whose answers repeat parts of them. */
export const QUOTING_PROMPTS: readonly string[] = [
  ...TEXTS.map((text) => afterExample('Repeat the text word for word.', REPEAT, text)),
  ...TEXTS.map((text) => afterExample('Write each sentence of the text as an item of a list.', LIST, text)),
  ...TEXTS.map((text) => afterExample('Put the text into a JSON object, sentence by sentence.', FIELDS, text)),
  ...[LEASE, DELIVERY, HARBOUR].map((text) => afterExample('Quote the rules or facts of the text.', QUOTE, text)),
  afterExample(
    'Correct the mistakes and leave the rest as it is.',
    CORRECT,
    HARBOUR.replace('fishermen', 'fishermans'),
  ),
  afterExample('Correct the mistakes and leave the rest as it is.', CORRECT, RECIPE.replace('Stir in', 'Stirs in')),
  `The log of the server:\n${LOG}\n\nThe same log again, line by line:\n09:14:02 gateway started on port 8080\n`,
  `Here is the module:\n\n${CODE}\n\nThe same module with documentation comments:\n\n/** Sum of the prices. */\n`,
  `Source:\n${HARBOUR}\n\nThe article quotes its source in full: "The old harbour of Brenwick`,
];

/** Ordinary questions, asked as a chat. */
export const CHAT_PROMPTS: readonly string[] = [
  'Why is the sky blue?',
  'Give me three ideas for a birthday party in a small garden.',
  'What is the difference between a virus and a bacterium?',
  'Write a short poem about a lighthouse.',
  'How do I ask my landlord to repair the heating?',
  'Explain what a hash table is to a beginner.',
  'Tell me about the history of bread.',
  'What should I pack for a weekend in the mountains?',
];
