/** How much a training may take of its isolate: what the plan of the platform leaves for it. */
import * as z from 'zod';
import { LABELS_MAX, LABELS_MIN } from '../../shards/classify/limits.ts';
import { TRAINING_PACE } from './limits.ts';

/** JSON of the variable `TRAINING` of the classifiers' script. */
const trainingRoomSchema = z.strictObject({
  labelsMax: z.int().min(LABELS_MIN).max(LABELS_MAX),
  trainingBytesMax: z.int().positive().max(TRAINING_PACE.trainingBytesMax),
});

export type TrainingRoom = z.infer<typeof trainingRoomSchema>;

/** @throws Error that says what is wrong with it */
export function parseTrainingRoom(value: string): TrainingRoom {
  const parsed = trainingRoomSchema.safeParse(JSON.parse(value));
  if (!parsed.success) {
    throw new Error(`The variable TRAINING is not valid: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}
