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
  'version.folded',
  'version.added',
  'version.moved',
  'version.let-go',
] as const

export type ServerCrashPoint = (typeof serverCrashPoints)[number]
