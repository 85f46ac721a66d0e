import { describe, expect, it } from 'vitest';
import type { StageAssignment } from '../assignment.ts';
import { AssignmentError, parseAssignment } from '../parse-assignment.ts';

const ASSIGNMENT: StageAssignment = {
  model: 'tiny',
  manifestSha256: 'a'.repeat(64),
  stageIndex: 1,
  stageCount: 2,
  layerStart: 3,
  layerEnd: 5,
  numPages: 8,
  contextLengthMax: 128,
  numTokensMax: 32,
  numLogitRowsMax: 4,
  stepsInFlightMax: 2,
};

describe('parseAssignment', () => {
  it('reads what the planner writes', () => {
    expect(parseAssignment(JSON.stringify(ASSIGNMENT))).toEqual(ASSIGNMENT);
  });

  it.each([
    ['model', ''],
    ['manifestSha256', 'A'.repeat(64)],
    ['stageIndex', 2],
    ['stageIndex', -1],
    ['stageCount', 0],
    ['layerEnd', 3],
    ['numPages', 0],
    ['numPages', 1.5],
    ['contextLengthMax', '128'],
    ['numTokensMax', null],
    ['numLogitRowsMax', undefined],
    ['stepsInFlightMax', 0],
  ])('refuses %s %j', (name, value) => {
    expect(() => parseAssignment(JSON.stringify({ ...ASSIGNMENT, [name]: value }))).toThrow(AssignmentError);
  });

  it('refuses what is not an object', () => {
    for (const text of ['', '{', 'null', '[]', '7']) {
      expect(() => parseAssignment(text)).toThrow(AssignmentError);
    }
  });
});
