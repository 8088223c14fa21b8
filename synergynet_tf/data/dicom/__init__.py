"""Scans as a scanner or a PACS gives them: folders and zip files of DICOM images, classic and enhanced, one study each."""
