import type { StageAssignment } from './assignment.ts';

/** The variable `STAGE` is not what the planner writes: deploy the stage with the configuration that was generated. */
export class AssignmentError extends Error {
  override readonly name = 'AssignmentError';
}

/** Smallest value of each count; the runtime checks what depends on the model. */
const COUNTS = {
  stageIndex: 0,
  stageCount: 1,
  layerStart: 0,
  layerEnd: 1,
  numPages: 1,
  contextLengthMax: 1,
  numTokensMax: 1,
  numLogitRowsMax: 1,
  stepsInFlightMax: 1,
} as const;

/**
 * Reads the variable `STAGE` of a stage script.
 * @throws AssignmentError naming the field
 */
export function parseAssignment(text: string): StageAssignment {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new AssignmentError('STAGE is not JSON');
  }
  const fields = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>;
  const { model, manifestSha256 } = fields;
  if (typeof model !== 'string' || model === '') {
    throw new AssignmentError('STAGE has no model');
  }
  if (typeof manifestSha256 !== 'string' || !/^[0-9a-f]{64}$/.test(manifestSha256)) {
    throw new AssignmentError('STAGE has no manifestSha256 of 64 lower-case hex digits');
  }
  const count = (name: keyof typeof COUNTS): number => {
    const value = fields[name];
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < COUNTS[name]) {
      throw new AssignmentError(`STAGE has ${name} ${String(value)}, not an integer from ${COUNTS[name]}`);
    }
    return value;
  };
  const assignment: StageAssignment = {
    model,
    manifestSha256,
    stageIndex: count('stageIndex'),
    stageCount: count('stageCount'),
    layerStart: count('layerStart'),
    layerEnd: count('layerEnd'),
    numPages: count('numPages'),
    contextLengthMax: count('contextLengthMax'),
    numTokensMax: count('numTokensMax'),
    numLogitRowsMax: count('numLogitRowsMax'),
    stepsInFlightMax: count('stepsInFlightMax'),
  };
  if (assignment.stageIndex >= assignment.stageCount || assignment.layerStart >= assignment.layerEnd) {
    throw new AssignmentError('STAGE has a stageIndex or a range of layers that is empty or out of range');
  }
  return assignment;
}
