import type { ModelConfig } from '../../wasm/host/model-config.ts';
import type { StageAssignment } from '../model/assignment.ts';
import { err, ok, type Result } from '../result.ts';
import { POOLINGS, type FeatureFailure, type FeatureRequest } from './feature-protocol.ts';
import type { FeatureLimits } from './limits.ts';

export interface FeatureBounds {
  readonly config: ModelConfig;
  readonly assignment: StageAssignment;
  readonly limits: FeatureLimits;
}

function invalid(message: string): { readonly ok: false; readonly error: FeatureFailure } {
  return err({ code: 'invalid_request', message, retryable: false });
}

/** Checks every field of a request whose types TypeScript vouched for on the other side of an RPC boundary only. */
export function validateFeatureRequest(request: FeatureRequest, bounds: FeatureBounds): Result<null, FeatureFailure> {
  const { texts, windowTokens } = request;
  const { assignment, limits, config } = bounds;
  if (texts.length === 0 || texts.length > limits.textsMax) {
    return invalid(`${texts.length} texts: send 1 to ${limits.textsMax}`);
  }
  if (!Number.isInteger(windowTokens) || windowTokens < 1 || windowTokens > assignment.numTokensMax) {
    return invalid(
      `windowTokens is ${windowTokens}: a window has 1 to ${assignment.numTokensMax} tokens on this shard`,
    );
  }
  for (const [index, tokens] of texts.entries()) {
    if (tokens.length === 0 || tokens.length > limits.textTokensMax) {
      return invalid(`text ${index} has ${tokens.length} tokens: 1 to ${limits.textTokensMax} are served`);
    }
    const wrong = tokens.find((tokenId) => !(Number.isInteger(tokenId) && tokenId >= 0 && tokenId < config.vocabSize));
    if (wrong !== undefined) {
      return invalid(`text ${index} holds ${wrong}, which is not a token of a vocabulary of ${config.vocabSize}`);
    }
  }
  return validateParts(request, bounds);
}

function validateParts({ parts }: FeatureRequest, { assignment, limits }: FeatureBounds): Result<null, FeatureFailure> {
  if (parts.length === 0 || parts.length > limits.partsMax) {
    return invalid(`${parts.length} parts: features have 1 to ${limits.partsMax}`);
  }
  for (const { numLayers, pooling } of parts) {
    if (!Number.isInteger(numLayers) || numLayers < 0 || numLayers > assignment.layerEnd) {
      const message = `features after ${numLayers} layers were asked for, the head shard has ${assignment.layerEnd}`;
      return invalid(`${message}: plan the model again so that its head has enough`);
    }
    if (!POOLINGS.includes(pooling)) {
      return invalid(`pooling is ${pooling as string}: use ${POOLINGS.join(' or ')}`);
    }
  }
  return ok(null);
}
