import { randomInt } from 'node:crypto';

const ADJECTIVES = [
  'able',
  'bright',
  'calm',
  'clever',
  'daring',
  'eager',
  'gentle',
  'grand',
  'keen',
  'lively',
  'merry',
  'nimble',
  'proud',
  'quick',
  'quiet',
  'sharp',
  'steady',
  'sunny',
  'swift',
  'wise',
];
const NOUNS = [
  'badger',
  'bear',
  'crane',
  'deer',
  'dove',
  'eagle',
  'finch',
  'fox',
  'gull',
  'hare',
  'heron',
  'horse',
  'lark',
  'lynx',
  'moth',
  'otter',
  'owl',
  'raven',
  'seal',
  'wren',
];

/** A name for a run that was given none: `swift-otter-417`. Not unique, only memorable. */
export function randomRunName(): string {
  const adjective = ADJECTIVES[randomInt(ADJECTIVES.length)] ?? '';
  const noun = NOUNS[randomInt(NOUNS.length)] ?? '';
  return `${adjective}-${noun}-${randomInt(1000)}`;
}
