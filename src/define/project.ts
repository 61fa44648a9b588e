/** `project`: the default export of a project file. No state. */

import { callStack, type ProjectOptions, type ProjectSpec } from './spec.ts'

/** Puts streams, views and settings together. */
export function project(options: ProjectOptions): ProjectSpec {
  return Object.freeze({ kind: 'project' as const, options, calledAt: callStack(project) })
}
