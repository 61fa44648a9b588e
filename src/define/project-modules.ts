/**
 * How the modules of a project are found, wherever its file is imported. Imports of 'refold' always mean this copy of
 * it, so that project and engine agree; 'zod' means the project's own where it has one. Both then work in a folder
 * without `node_modules`. No state.
 */

import type { ResolveFnOutput, ResolveHookContext } from 'node:module'

/** URL of the folder of Refold's own modules. */
export const ownRoot = new URL('../', import.meta.url).href

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const ownModules: Readonly<Record<string, string>> = {
  refold: new URL(`../index.${extension}`, import.meta.url).href,
  'refold/testing': new URL(`../testing.${extension}`, import.meta.url).href,
}

/** A `resolve` hook of `module.registerHooks`. */
export function resolveProjectModule(
  specifier: string,
  context: ResolveHookContext,
  next: (specifier: string, context?: Partial<ResolveHookContext>) => ResolveFnOutput,
): ResolveFnOutput {
  const own = Object.hasOwn(ownModules, specifier) ? ownModules[specifier] : undefined
  if (own !== undefined) return { url: own, shortCircuit: true }
  try {
    return withFormat(next(specifier, context))
  } catch (error) {
    if (!/^zod(\/|$)/.test(specifier)) throw error
    return next(specifier, { ...context, parentURL: import.meta.url })
  }
}

/** A project's TypeScript is ESM, also where no package.json says so. */
function withFormat(resolved: ResolveFnOutput): ResolveFnOutput {
  const isOwn = resolved.url.startsWith(ownRoot) || resolved.url.includes('/node_modules/')
  if (isOwn || !/\.ts$/.test(resolved.url)) return resolved
  return { ...resolved, format: 'module-typescript' }
}
