import {
  decideStep as decide,
  type DecideStep,
  type DecisionDeps,
  type StepVerdict,
} from '../pipelines/decisions';
import { failureOf } from './failures';

/** Idempotent: what it reads does not change any more, and rows that are there stay. */
export function createDecideStep(deps: DecisionDeps): (input: DecideStep) => Promise<StepVerdict> {
  return async function decideStep(input) {
    try {
      return await decide(deps, input);
    } catch (error) {
      throw failureOf(error);
    }
  };
}
