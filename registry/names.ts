import { AppError, requireArgument } from '../errors/app-error';
import { MODEL_LIMITS, type ModelTag } from '../schemas/registered-models';

// Rules of MLflow's own server (mlflow/utils/validation.py), so that clients meet no surprise.

/** INVALID_ARGUMENT unless a model may have this name. */
export function assertModelName(name: string): void {
  requireArgument(name !== '', 'Registered model name cannot be empty.');
  const { nameCharsMax } = MODEL_LIMITS;
  requireArgument(
    name.length <= nameCharsMax,
    `Model names have at most ${nameCharsMax} characters.`,
  );
  const message = `Invalid model name: '${name}'. Names hold neither '/' nor ':' nor control characters.`;
  requireArgument(!/[/:\u0000-\u001f\u007f]/.test(name), message);
}

/** INVALID_ARGUMENT if the description is too long or holds NUL, which Postgres cannot keep. */
export function assertDescription(description: string): void {
  const { descriptionCharsMax: max } = MODEL_LIMITS;
  requireArgument(description.length <= max, `Descriptions have at most ${max} characters.`);
  requireArgument(!description.includes('\0'), 'A description holds no NUL.');
}

/** INVALID_ARGUMENT unless a tag may have this key. */
export function assertTagKey(key: string): void {
  const { tagKeyCharsMax: max } = MODEL_LIMITS;
  requireArgument(key !== '', 'A tag has a key.');
  requireArgument(key.length <= max, `Tag keys have at most ${max} characters.`);
  requireArgument(!key.includes('\0'), "A tag's key holds no NUL.");
}

/** INVALID_ARGUMENT unless the tag's key and value are within their limits. */
export function assertModelTag(tag: ModelTag): void {
  assertTagKey(tag.key);
  const { tagValueCharsMax: max } = MODEL_LIMITS;
  requireArgument(tag.value.length <= max, `Tag values have at most ${max} characters.`);
  requireArgument(!tag.value.includes('\0'), "A tag's value holds no NUL.");
}

/** Checks tags that arrive together; of several with one key the last counts, as in MLflow. */
export function uniqueTags(tags: readonly ModelTag[]): ModelTag[] {
  const { tagsPerRequestMax: max } = MODEL_LIMITS;
  if (tags.length > max) throw new AppError('INVALID_ARGUMENT', `At most ${max} tags at once.`);
  tags.forEach(assertModelTag);
  return [...new Map(tags.map((tag) => [tag.key, tag])).values()];
}
