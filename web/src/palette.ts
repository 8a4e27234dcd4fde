/** Ten colours that people with any colour vision tell apart (Petroff 2021, "Accessible color sequences"). */
export const COLOURS = [
  '#3f90da',
  '#ffa90e',
  '#bd1f01',
  '#94a4a2',
  '#832db6',
  '#a96b59',
  '#e76300',
  '#b9ac70',
  '#717581',
  '#92dadd',
];

const WITHOUT_LABEL = '#717581';

export function colourOf(label: number): string {
  return label === 255 ? WITHOUT_LABEL : COLOURS[label % COLOURS.length]!;
}
