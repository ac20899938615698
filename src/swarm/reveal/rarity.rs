/// Pieces in order of a count, equal ones in random order. Changing a count by one costs a swap, finding the rarest
/// piece that somebody lacks a walk over those that he has.
#[derive(Debug, Clone)]
pub(super) struct Rarity {
    /// All pieces, by count.
    sorted: Vec<u32>,
    /// Where each piece stands in `sorted`.
    place: Vec<u32>,
    /// Of each piece.
    count: Vec<u32>,
    /// Where each count begins in `sorted`; the last entry is the number of pieces.
    start: Vec<u32>,
}

impl Rarity {
    /// All counts are nought.
    pub(super) fn new(pieces: u32, rng: &mut fastrand::Rng) -> Self {
        let mut sorted: Vec<u32> = (0..pieces).collect();
        rng.shuffle(&mut sorted);
        let mut place = vec![0; pieces as usize];
        for (at, piece) in sorted.iter().enumerate() {
            place[*piece as usize] = at as u32;
        }
        Self { sorted, place, count: vec![0; pieces as usize], start: vec![0, pieces] }
    }

    pub(super) fn count(&self, piece: u32) -> u32 {
        self.count[piece as usize]
    }

    /// The least count of any piece.
    pub(super) fn least(&self) -> u32 {
        self.sorted.first().map_or(0, |piece| self.count(*piece))
    }

    pub(super) fn raise(&mut self, piece: u32) {
        let count = self.count[piece as usize] as usize;
        if count + 2 == self.start.len() {
            self.start.push(self.sorted.len() as u32);
        }
        self.start[count + 1] -= 1;
        self.swap(piece, self.start[count + 1]);
        self.count[piece as usize] += 1;
    }

    /// The count must not be nought.
    pub(super) fn lower(&mut self, piece: u32) {
        let count = self.count[piece as usize] as usize;
        debug_assert!(count > 0, "piece {piece} is lowered below nought");
        if count == 0 {
            return;
        }
        self.swap(piece, self.start[count]);
        self.start[count] += 1;
        self.count[piece as usize] -= 1;
    }

    /// The piece with the least count that `skip` does not refuse; ties are random.
    pub(super) fn rarest(&self, rng: &mut fastrand::Rng, skip: impl Fn(u32) -> bool) -> Option<u32> {
        self.start.windows(2).filter(|bounds| bounds[0] < bounds[1]).find_map(|bounds| {
            let equal = &self.sorted[bounds[0] as usize..bounds[1] as usize];
            let (late, early) = equal.split_at(rng.usize(..equal.len()));
            early.iter().chain(late).copied().find(|piece| !skip(*piece))
        })
    }

    /// Pieces by count: index 0 is the pieces that count nought.
    pub(super) fn histogram(&self) -> impl Iterator<Item = u32> {
        self.start.windows(2).map(|bounds| bounds[1] - bounds[0])
    }

    fn swap(&mut self, piece: u32, to: u32) {
        let from = self.place[piece as usize];
        let other = self.sorted[to as usize];
        self.sorted.swap(from as usize, to as usize);
        self.place[piece as usize] = to;
        self.place[other as usize] = from;
    }
}
