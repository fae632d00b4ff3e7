export const STATIC: string;
export const DIST: string;
export function built(): Promise<Record<string, string>>;
