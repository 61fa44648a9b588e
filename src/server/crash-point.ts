/**
 * The places where a crash of the server would leave files and catalog in a different state: named, so that a test
 * can stop at each and start again from what the disk then holds. Pure data.
 */

export const serverCrashPoints = [
  'slices.staged',
  'slices.renamed',
  'slices.published',
  'slices.replaced-deleted',
  'lake.staged',
  'lake.renamed',
  'lake.published',
  'lake.dropped',
  'version.recorded',
  'build.folded',
  'build.published',
  'version.folded',
  'version.added',
  'version.moved',
  'version.let-go',
] as const

/** Of a deploy that is carried out, taken back, and whose old versions go when their time is over. */
export const deployCrashPoints = [
  'deploy.recorded',
  'deploy.building',
  'deploy.built',
  'deploy.added',
  'deploy.shadow',
  'deploy.proved',
  'deploy.verified',
  'deploy.moved',
  'deploy.live',
  'rollback.moved',
  'warm.ended',
] as const

/** Of a trim of the lake, and of a merge of its files. */
export const lakeCrashPoints = [
  'trim.base-renamed',
  'trim.promoted',
  'trim.recorded',
  'lake.merge-renamed',
  'lake.merged',
  'lake.leftovers-deleted',
] as const

/** Of a batch and its publication. */
export const batchCrashPoints = [
  'batch.captured',
  'batch.lake',
  'batch.folded',
  'batch.staged',
  'batch.published',
  'batch.swapped',
] as const

export type ServerCrashPoint =
  | (typeof serverCrashPoints)[number]
  | (typeof deployCrashPoints)[number]
  | (typeof lakeCrashPoints)[number]
  | (typeof batchCrashPoints)[number]
