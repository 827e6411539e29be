//! Each axis on cases made for it: what it changes, what it leaves alone, and why it leaves a case out.
