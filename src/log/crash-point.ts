/**
 * The places where a crash would leave the data folder in a different state: named, so that tests can stop at each
 * and start again from what the disk then holds. A hook that is told of a point takes everything that was asked of
 * the files before it and nothing after it. Pure data.
 */

export const crashPoints = [
  'log.before-write',
  'log.after-write',
  'log.after-sync',
  'log.segment-created',
  'log.segment-header-written',
  'log.segment-header-synced',
  'log.segment-folder-synced',
  'log.abandoned',
  'log.frame-taken-back',
  'log.sidecar-written',
  'log.sidecar-synced',
  'log.before-drop',
  'log.segment-unlinked',
  'log.dropped',
  'log.sidecar-unlinked',
  'log.recovery-excess-kept',
  'log.recovery-cut',
  'log.recovery-rewritten',
  'log.recovery-segment-removed',
] as const

export type CrashPoint = (typeof crashPoints)[number]
export type CrashHook = (point: CrashPoint) => void

export const noCrash: CrashHook = () => {}
