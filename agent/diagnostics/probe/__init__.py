"""What is connected to this box, for `vigie probe`: drivers are asked, nothing is moved or changed."""
