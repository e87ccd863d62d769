//! Small symmetric matrices, in a fixed order of operations so that every machine rounds alike.

/// Rows of entries.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// The symmetric matrix whose upper triangle stands row by row in `upper`; what is not there is zero.
pub(crate) fn symmetric(upper: &[f64], width: usize) -> Matrix {
    let mut matrix = vec![vec![0.0; width]; width];
    let mut entries = upper.iter();
    for (row, column) in (0..width).flat_map(|row| (row..width).map(move |column| (row, column))) {
        let value = entries.next().copied().unwrap_or(0.0);
        matrix[row][column] = value;
        matrix[column][row] = value;
    }
    matrix
}

/// Chosen rows and the same columns.
pub(crate) fn part(matrix: &Matrix, chosen: &[usize]) -> Matrix {
    chosen.iter().map(|&row| chosen.iter().map(|&column| matrix[row][column]).collect()).collect()
}

/// Solves `matrix x = right` for a symmetric positive definite matrix by Cholesky's method.
pub(crate) fn solve(matrix: Matrix, right: &[f64]) -> Option<Vec<f64>> {
    factor(matrix).map(|lower| substitute(&lower, right))
}

/// The inverse of a symmetric positive definite matrix.
pub(crate) fn inverse(matrix: Matrix) -> Option<Matrix> {
    let width = matrix.len();
    let lower = factor(matrix)?;
    let unit = |column: usize| (0..width).map(|row| if row == column { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
    Some((0..width).map(|column| substitute(&lower, &unit(column))).collect())
}

/// Cholesky's factor in the lower triangle; `None` unless the matrix is positive definite.
fn factor(mut matrix: Matrix) -> Option<Matrix> {
    let width = matrix.len();
    for column in 0..width {
        for row in column..width {
            let mut value = matrix[row][column];
            for (left, right) in matrix[row][..column].iter().zip(&matrix[column]) {
                value -= left * right;
            }
            if row == column {
                if value.is_nan() || value <= 0.0 {
                    return None;
                }
                matrix[row][column] = value.sqrt();
            } else {
                matrix[row][column] = value / matrix[column][column];
            }
        }
    }
    Some(matrix)
}

fn substitute(lower: &Matrix, right: &[f64]) -> Vec<f64> {
    let width = right.len();
    let mut solution = right.to_vec();
    for row in 0..width {
        for inner in 0..row {
            solution[row] -= lower[row][inner] * solution[inner];
        }
        solution[row] /= lower[row][row];
    }
    for row in (0..width).rev() {
        for inner in row + 1..width {
            solution[row] -= lower[inner][row] * solution[inner];
        }
        solution[row] /= lower[row][row];
    }
    solution
}
